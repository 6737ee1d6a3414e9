// The loop of the article of 2019. Only the package's name is changed.
const Overpool = require('overpool-cloud')
const pool = new Overpool()
pool.create({ path: 'mypool', port: 3000 })
pool.on('tx', async (e) => {
  await pool.post({ path: 'mypool', payment: e.payment })
})
