'use strict'
// Tells what V8 makes of JSON. One text a line on stdin, itself as a JSON string; one line back for each, in order:
// the string JSON.stringify(JSON.parse(text)), or null where JSON.parse throws.

const readline = require('node:readline')

const { stringify } = require('../../../apps/timecard/legacy/deep_json')

function again (text) {
  let value
  try {
    value = JSON.parse(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return null
  }
  return stringify(value)
}

readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', line => {
  process.stdout.write(JSON.stringify(again(JSON.parse(line))) + '\n')
})
