// `db` of the article's programs, as far as they use it: a collection that keeps copies of plain data, as MongoDB does, and writes them down.
const { appendFileSync } = require('node:fs')
const { isDeepStrictEqual } = require('node:util')

globalThis.db = {
  collection: (name) => ({
    async insertOne(document) {
      const copy = JSON.parse(JSON.stringify(document))
      if (!isDeepStrictEqual(copy, structuredClone(document))) throw new Error('this document holds what BSON cannot say')
      document._id = copy._id = `${Date.now()}` // the driver writes it into the document that it was given
      appendFileSync(`${name}.jsonl`, `${JSON.stringify(copy)}\n`)
    },
  }),
}
