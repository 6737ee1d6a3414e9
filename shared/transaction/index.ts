export { type DataPush, dataOf, dataTransaction } from './data.ts'
export { type Cell, type Parsed, parseInSteps, parseTransaction } from './parsed.ts'
export { formatOf, type ScannedTransaction, scanTransaction, transactionFromHex } from './scan.ts'
