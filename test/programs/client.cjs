// From the demos of the original (demo/loop/client.js): posts the first transaction of the loop, beside the server that runs it.
const datapay = require('datapay')
const overpool = require('overpool-cloud')
const pool = new overpool();
const seed = ["1"]
datapay.build({ data: seed }, (err, tx) => {
  pool.post({
    path: "loop",
    payment: {
      merchantData: null,
      transaction: tx.toString(),
      refundTo: null,
      memo: null
    }
  })
})
