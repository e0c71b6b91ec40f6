'use strict'
// Tells which paths real Express matches.
//
// One JSON object a line on stdin: {"route": "GET /a/{id}", "method": "GET", "target": "/a/1"}; a route without a
// method is for all methods, and each character of the target is one byte. One line back for each, in order:
// {"url": what Node's parser made of the target, or null where it refused the request,
//  "apps": {"4 flat": the route's parameters or null, "4 mounted": ..., "5 flat": ..., "5 mounted": ...}}

const http = require('node:http')
const net = require('node:net')
const readline = require('node:readline')

const versions = { 4: require('express4'), 5: require('express5') }
const variants = ['4 flat', '4 mounted', '5 flat', '5 mounted']
const parallel = 64

/** `{id}` as `:id`, and a `{*rest}` that may be empty, in the notation of the version. */
function translate (segments, version) {
  const last = segments.at(-1)
  const rest = last !== undefined && last.startsWith('{*')
  const fixed = (rest ? segments.slice(0, -1) : segments).map(segment => '/' + segment.replace(/^\{(.*)\}$/, ':$1')).join('')
  if (!rest) return fixed || '/'
  if (version === '4') return [fixed || '/', fixed + '/*']
  return fixed === '' ? '/{*' + last.slice(2) : `${fixed}{/*${last.slice(2, -1)}}`
}

/** An application with this one route, flat or in a router that is mounted at the first segment. */
function build (route, variant) {
  const [version, form] = variant.split(' ')
  const express = versions[version]
  const [method, path] = route.includes(' ') ? route.split(' ') : ['all', route]
  const segments = path.split('/').filter(segment => segment !== '')
  const app = express()
  const answer = (req, res) => {
    const params = {}
    for (const [name, value] of Object.entries(req.params)) {
      const isRest = version === '4' ? name === '0' : Array.isArray(value)
      const text = Array.isArray(value) ? value.join('/') : value
      if (text !== undefined) params[isRest ? segments.at(-1).slice(2, -1) : name] = text
    }
    res.set('x-params', encodeURIComponent(JSON.stringify(params))).end()
  }
  if (form === 'flat') {
    app[method.toLowerCase()](translate(segments, version), answer)
  } else {
    const router = express.Router({ mergeParams: true })
    const mountable = segments.length > 0 && !segments[0].startsWith('{*')
    const [mount, inner] = mountable ? [segments.slice(0, 1), segments.slice(1)] : [[], segments]
    router[method.toLowerCase()](translate(inner, version), answer)
    app.use(translate(mount, version), router)
  }
  app.use((error, req, res, next) => { res.status(error.status ?? 500).end() })
  return app
}

const apps = new Map()
const server = http.createServer((req, res) => {
  const [route, variant] = [decodeURIComponent(req.headers['x-route']), req.headers['x-variant']]
  const key = `${variant} ${route}`
  if (!apps.has(key)) apps.set(key, build(route, variant))
  res.setHeader('x-url', encodeURIComponent(req.url))
  apps.get(key)(req, res)
})

/** Sends the target byte for byte and resolves to the headers of the answer. */
function request ({ route, method, target }, variant) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(server.address().port, '127.0.0.1')
    const chunks = []
    socket.on('data', chunk => chunks.push(chunk)).on('error', reject).on('close', () => {
      const head = Buffer.concat(chunks).toString('latin1')
      const header = name => head.match(new RegExp(`^${name}: (.*)\r$`, 'm'))?.[1]
      const [url, params] = [header('x-url'), header('x-params')]
      resolve({
        url: url === undefined ? null : decodeURIComponent(url),
        params: params === undefined ? null : JSON.parse(decodeURIComponent(params))
      })
    })
    const lines = ['Host: test', `X-Route: ${encodeURIComponent(route)}`, `X-Variant: ${variant}`, 'Connection: close']
    socket.write(Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1'))
  })
}

async function judge (line) {
  const question = JSON.parse(line)
  const answers = await Promise.all(variants.map(variant => request(question, variant)))
  const matched = answers.map(({ params }, index) => [variants[index], params])
  return JSON.stringify({ url: answers[0].url, apps: Object.fromEntries(matched) })
}

server.listen(0, '127.0.0.1', async () => {
  const waiting = []
  const flush = async count => {
    while (waiting.length > count) process.stdout.write(await waiting.shift() + '\n')
  }
  for await (const line of readline.createInterface({ input: process.stdin })) {
    waiting.push(judge(line))
    await flush(parallel)
  }
  await flush(0)
  server.close()
})
