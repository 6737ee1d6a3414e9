export { type Cell, type Parsed, parseTransaction } from './parsed.ts'
export { type ScannedTransaction, scanTransaction, transactionFromHex } from './scan.ts'
