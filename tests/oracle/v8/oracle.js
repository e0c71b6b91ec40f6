'use strict'
// Tells what V8 makes of dates, amounts and comparisons that contradict themselves, in the time zone of TZ. One JSON array
// a line on stdin, one line of JSON back for each, in order:
// ["parse", text]              new Date(text) in milliseconds, null for an invalid date
// ["local", milliseconds]      [year, month, hour] on the clock
// ["fixed", number, digits]    number.toFixed(digits)
// ["sort", numbers, up]        places of the numbers when they are sorted; null is NaN

const readline = require('node:readline')

const judges = {
  parse: text => new Date(text).getTime(),
  local: time => {
    const date = new Date(time)
    return [date.getFullYear(), date.getMonth() + 1, date.getHours()]
  },
  fixed: (number, digits) => number.toFixed(digits),
  sort: (numbers, up) => numbers
    .map((number, place) => [number ?? NaN, place])
    .sort(([a], [b]) => (up ? a > b : a < b) ? 1 : -1)
    .map(([, place]) => place)
}

readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', line => {
  const [judge, ...asked] = JSON.parse(line)
  process.stdout.write(JSON.stringify(judges[judge](...asked)) + '\n')
})
