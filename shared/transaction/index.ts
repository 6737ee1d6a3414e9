export { type Cell, type Parsed, parseInSteps, parseTransaction } from './parsed.ts'
export { type ScannedTransaction, scanTransaction, transactionFromHex } from './scan.ts'
