// The article's first program, of 2019, with nothing changed but the package's name.
const Overpool = require('overpool-cloud')
const pool = new Overpool()
pool.create({ path: 'mypool', port: 3000 })
pool.on('tx', async (e) => {
  console.log('new payment event', e)
  await db.collection('transaction').insertOne(e.parsed)
})
