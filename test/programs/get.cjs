// From the demos of the original (demo/get and demo/post).
const Overpool = require("overpool-cloud")
const datapay = require('datapay')
const pool = new Overpool();
const buildTx = (i) => {
  return new Promise((resolve, reject) => {
    datapay.build({
      data: ["hello", i.toString()]
    }, async (err, tx) => {
      if (err) {
        reject(err)
      } else {
        resolve(tx)
      }
    })
  })
}
(async () => {
  await pool.create({ path: "localhost", port: 3001 })
  pool.on("tx", async (e) => {
    // compare the new event with the get query
    let queried = await pool.get({
      path: "localhost",
      hash: e.parsed.tx.h
    })
    console.log("Event = ", JSON.stringify(e.parsed))
    console.log("Queried = ", JSON.stringify(queried.parsed))
  })
  for (let i=0; i<10; i++) {
    let tx = await buildTx(i)
    await pool.post({
      payment: { transaction: tx },
      path: "localhost"
    })
    .catch((e) => {
      console.log(e)
    })
  }
  await pool.post({
    payment: { transaction: "sdfsf" },
    path: "localhost"
  })
  .catch((e) => {
    console.log("error = ", e.message)
  })
})();
