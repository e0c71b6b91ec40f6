// The stand-in for a legacy application: a real Node.js server that tells what it has seen. Anything but the paths
// below is answered with {"side":"node"}. Prints {"port":N} once it listens.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');

const { JOURNAL, KEEP_ALIVE_MS, HIDE_KEEP_ALIVE, PORT, RECORD } = process.env;
const SIDE = '{"side":"node"}';
const BLOCK_BYTES = 65521;
const TICK_MS = 200;

const stats = { requests: 0, aborted: 0, connections: 0, websockets: 0, closeCodes: {} };
let seen = [];

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://node');
  const number = (name, otherwise) => Number(url.searchParams.get(name) ?? otherwise);
  if (url.pathname === '/stats') return answer(response, JSON.stringify(stats));
  if (url.pathname === '/seen') return answer(response, JSON.stringify(seen.splice(0)));
  stats.requests += 1;
  request.on('error', () => { stats.aborted += 1; });
  if (RECORD) record(request);
  // With this header set by hand, Node does not announce when it will close the connection.
  if (HIDE_KEEP_ALIVE) response.setHeader('Connection', 'keep-alive');
  switch (url.pathname) {
    // Written when the request arrives, as an application that acts on it would; the file survives a SIGKILL.
    case '/journal':
      fs.appendFileSync(JOURNAL, `${url.searchParams.get('id')}\n`);
      request.resume().on('end', () => answer(response, SIDE));
      return undefined;
    case '/slow':
      setTimeout(() => answer(response, SIDE), number('ms', 1000));
      return undefined;
    case '/upload':
      return upload(request, response, number('rate', 0));
    case '/download':
      return download(response, number('bytes', 0));
    case '/events':
      return events(response, number('count', 1), number('ms', 100));
    default:
      request.resume().on('end', () => answer(response, SIDE));
      return undefined;
  }
});

function answer(response, text) {
  response.setHeader('Content-Type', 'application/json');
  response.setHeader('X-Backend', 'node');
  response.end(text);
}

function record(request) {
  const entry = { method: request.method, url: request.url, headers: request.rawHeaders, body: '', complete: false };
  seen.push(entry);
  request.on('data', (piece) => { entry.body += piece.toString('latin1'); });
  request.on('end', () => { entry.complete = true; });
}

// Takes no more than `rate` bytes a second, where one is given.
function upload(request, response, rate) {
  const hash = crypto.createHash('sha256');
  const began = Date.now();
  let bytes = 0;
  request.on('data', (piece) => {
    hash.update(piece);
    bytes += piece.length;
    const ahead = rate ? (bytes / rate) * 1000 - (Date.now() - began) : 0;
    if (ahead > 5) {
      request.pause();
      setTimeout(() => request.resume(), ahead);
    }
  });
  request.on('end', () => answer(response, JSON.stringify({ side: 'node', bytes, sha256: hash.digest('hex') })));
}

// Blocks that begin with their number, so that pieces in a wrong order would be noticed.
function download(response, bytes) {
  response.setHeader('Content-Length', bytes);
  const pattern = Buffer.from(Array.from({ length: BLOCK_BYTES }, (_, index) => index % 251));
  let block = 0;
  let left = bytes;
  const more = () => {
    while (left > 0) {
      const piece = Buffer.from(pattern);
      piece.writeUInt32BE(block, 0);
      block += 1;
      const part = piece.subarray(0, Math.min(left, BLOCK_BYTES));
      left -= part.length;
      if (!response.write(part)) return;
    }
    response.end();
  };
  response.on('drain', more);
  more();
}

function events(response, count, ms) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  let number = 0;
  const timer = setInterval(() => {
    response.write(`data: ${number}\n\n`);
    number += 1;
    if (number === count) {
      clearInterval(timer);
      response.end();
    }
  }, ms);
  response.on('close', () => clearInterval(timer));
}

// An expectation other than `100-continue`, which Node would refuse without a request event.
server.on('checkExpectation', (request, response) => {
  if (RECORD) record(request);
  response.statusCode = 417;
  request.resume().on('end', () => answer(response, SIDE));
});

// WebSockets: echoes text, says `tick`, and answers a close frame with the same code.
server.on('upgrade', (request, socket) => {
  if (RECORD) {
    seen.push({ method: request.method, url: request.url, headers: request.rawHeaders, body: '', complete: true });
    socket.end('HTTP/1.1 400 Bad Request\r\nX-Backend: node\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    return;
  }
  const key = request.headers['sec-websocket-key'];
  const accept = crypto.createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  stats.websockets += 1;
  const timer = setInterval(() => socket.write(frame(1, Buffer.from('tick'))), TICK_MS);
  let rest = Buffer.alloc(0);
  socket.on('data', (data) => {
    rest = Buffer.concat([rest, data]);
    for (let message = takeFrame(); message; message = takeFrame()) {
      if (message.opcode === 1) socket.write(frame(1, message.payload));
      if (message.opcode === 8) {
        const code = message.payload.length >= 2 ? message.payload.readUInt16BE(0) : 1005;
        stats.closeCodes[code] = (stats.closeCodes[code] ?? 0) + 1;
        clearInterval(timer);
        socket.end(frame(8, message.payload));
      }
    }
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    clearInterval(timer);
    stats.websockets -= 1;
  });

  function takeFrame() {
    if (rest.length < 6) return null;
    const long = (rest[1] & 0x7f) === 126;
    const start = long ? 8 : 6;
    if (rest.length < start) return null;
    const length = long ? rest.readUInt16BE(2) : rest[1] & 0x7f;
    if (rest.length < start + length) return null;
    const mask = rest.subarray(start - 4, start);
    const payload = Buffer.from(rest.subarray(start, start + length)).map((byte, index) => byte ^ mask[index % 4]);
    const opcode = rest[0] & 0x0f;
    rest = rest.subarray(start + length);
    return { opcode, payload };
  }
});

function frame(opcode, payload) {
  const head = payload.length < 126
    ? Buffer.from([0x80 | opcode, payload.length])
    : Buffer.from([0x80 | opcode, 126, payload.length >> 8, payload.length & 0xff]);
  return Buffer.concat([head, payload]);
}

server.on('connection', (socket) => {
  stats.connections += 1;
  socket.on('close', () => { stats.connections -= 1; });
});
server.requestTimeout = 0;
if (KEEP_ALIVE_MS) server.keepAliveTimeout = Number(KEEP_ALIVE_MS);
server.listen({ port: Number(PORT ?? 0), host: '127.0.0.1', backlog: 4096 }, () => {
  console.log(JSON.stringify({ port: server.address().port }));
});
