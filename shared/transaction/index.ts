export { type Cell, type Parsed, type ParsedInput, type ParsedOutput, parseTransaction, type Tape } from './parsed.ts'
export {
  type ScannedTransaction,
  scanTransaction,
  type TransactionInput,
  type TransactionOutput,
  type Txid,
  transactionFromHex,
} from './scan.ts'
