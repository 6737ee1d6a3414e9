// The first program of the article of 2019. Only the package's name is changed.
const Overpool = require('overpool-cloud')
const pool = new Overpool()
pool.create({ path: 'mypool', port: 3000 })
pool.on('tx', async (e) => {
  console.log('new payment event', e)
  await db.collection('transaction').insertOne(e.parsed)
})
