'use strict'
// Tells what the libraries of the dashboard's original make of a text. One JSON array a line on stdin, one line of JSON
// back for each, in order:
// ["query", text]      req.query of Express 4
// ["numbers", text]    [parseInt, parseFloat, Number], each as JavaScript prints it
// ["indent", text]     JSON.stringify(JSON.parse(text), null, 2)
// ["glob", folder]     the log files below a folder, in the order of glob
// ["route", path]      [endpoint, parameter], the status of an error, or null
// ["body", [headers, text]]   the status of the body parser's error, or null; each character is one byte

const readline = require('node:readline')
const { Readable } = require('node:stream')

const express = require('express')
const { glob } = require('glob')
const qs = require('qs')

const mounts = {
  summary: ['/'],
  daily: ['/', '/:date'],
  monthly: ['/', '/:month'],
  models: ['/'],
  projects: ['/', '/:projectName'],
  hourly: ['/'],
  mcp: ['/logs', '/tools', '/tools/:toolName'],
  logs: ['/content']
}

/** Routers that are mounted as those of the original, with handlers that only say that they were found. */
const app = express().disable('x-powered-by')
for (const [mount, paths] of Object.entries(mounts)) {
  const router = express.Router()
  for (const path of paths) router.get(path, (req, res) => res.found([mount + path, ...Object.values(req.params)]))
  app.use('/api/v2/' + mount, router)
}

const parser = express.json()

const judges = {
  route: path => new Promise(resolve => {
    app({ url: path, method: 'GET', headers: {} }, { found: resolve }, error => resolve(error ? error.status : null))
  }),
  body: ([headers, text]) => new Promise(resolve => {
    const body = Buffer.from(text, 'latin1')
    const request = Object.assign(Readable.from(body.length ? [body] : []), { headers: { 'content-length': String(body.length), ...headers } })
    parser(request, {}, error => resolve(error ? error.status : null))
  }),
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
