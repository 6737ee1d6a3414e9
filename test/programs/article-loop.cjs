// The article's loop, of 2019, with nothing changed but the package's name.
const Overpool = require('overpool-cloud')
const pool = new Overpool()
pool.create({ path: 'mypool', port: 3000 })
pool.on('tx', async (e) => {
  await pool.post({ path: 'mypool', payment: e.payment })
})
