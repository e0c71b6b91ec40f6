'use strict'
// Tells what the libraries of the dashboard's original make of a text. One JSON array a line on stdin, one line of JSON
// back for each, in order:
// ["query", text]      req.query of Express 4
// ["numbers", text]    [parseInt, parseFloat, Number], each as JavaScript prints it
// ["indent", text]     JSON.stringify(JSON.parse(text), null, 2)
// ["glob", folder]     the log files below a folder, in the order of glob

const readline = require('node:readline')

const { glob } = require('glob')
const qs = require('qs')

const judges = {
  query: text => qs.parse(text, { allowPrototypes: true }),
  numbers: text => [parseInt(text), parseFloat(text), Number(text)].map(number => Object.is(number, -0) ? '0' : String(number)),
  indent: text => JSON.stringify(JSON.parse(text), null, 2),
  glob: folder => glob('**/mcp-logs-ide/*.txt', { cwd: folder, absolute: true })
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const [judge, text] = JSON.parse(line)
    process.stdout.write(JSON.stringify(await judges[judge](text)) + '\n')
  }
}

main()
