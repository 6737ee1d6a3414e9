// From the demos of the original (demo/basic/prune.js): archives the entries of a pool, beside the server that has it.
const Overpool = require("overpool-cloud")
const pool = new Overpool();
pool.prune("localhost")
