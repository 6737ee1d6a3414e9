// The part of `db` that the article's programs use: a collection that stores copies of plain data, as MongoDB does, in a file.
const { appendFileSync } = require('node:fs')
const { isDeepStrictEqual } = require('node:util')

globalThis.db = {
  collection: (name) => ({
    async insertOne(document) {
      const copy = JSON.parse(JSON.stringify(document))
      if (!isDeepStrictEqual(copy, structuredClone(document))) throw new Error('this document holds what BSON cannot say')
      document._id = copy._id = `${Date.now()}` // MongoDB's driver sets `_id` on the caller's document, too
      appendFileSync(`${name}.jsonl`, `${JSON.stringify(copy)}\n`)
    },
  }),
}
