// A WebSocket server as legacy applications have it: Node's own http and the `ws` library. It echoes, and does odd
// things when a text message that begins with `!` tells it to. What it sees it reports on stdout, one JSON value a line.
//
// !{"do":"close","code":4999,"reason":"x"}   closes; without a code: no code
// !{"do":"terminate"}                        ends the TCP connection, without a close frame
// !{"do":"ping","data":"x"}                  pings; the pong is reported
// !{"do":"fragments","parts":["a","b"]}      sends one text message in so many frames
// !{"do":"flood","count":8,"size":1024}      sends so many binary messages, whether they are taken or not
// !{"do":"pause"}                            stops reading
//
// PORT chooses the port; without it a free one is taken.
// Lines on stdin: `resume` reads on after a pause, `close 1001` closes all connections with that code, `buffered` reports
// how many bytes of a flood are still in Node.
//
// Targets: /refused answers 401 before the upgrade; with `node=destroys`, `node=garbage` or `node=busy` in its query an
// upgrade ends without a refusal in words; /deflate has permessage-deflate; an upgrade to `shout` is a protocol
// of its own, which answers in upper case. A plain request gets the text `plain`.
'use strict';

const http = require('node:http');
const readline = require('node:readline');
const { WebSocketServer } = require('ws');

const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const options = {
  noServer: true,
  maxPayload: 64 * 1024 * 1024,
  handleProtocols: (offered) => (offered.has('readers.v2') ? 'readers.v2' : false),
};
const plain = new WebSocketServer(options);
const deflating = new WebSocketServer({ ...options, perMessageDeflate: { threshold: 0 } });

const server = http.createServer((request, response) => {
  report({ event: 'request', url: request.url, headers: request.rawHeaders });
  response.end('plain');
});

server.on('upgrade', (request, socket, head) => {
  socket.on('error', (error) => report({ event: 'error', code: error.code }));
  const { pathname } = new URL(request.url.split('?')[0], 'http://localhost');
  const { searchParams } = new URL(request.url, 'http://localhost');
  if (pathname === '/refused') {
    refuse(socket);
  } else if (searchParams.get('node') === 'destroys') {
    socket.destroy();
  } else if (searchParams.get('node') === 'garbage') {
    socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nno');
  } else if (searchParams.get('node') === 'busy') {
    socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy');
  } else if (request.headers.upgrade === 'shout') {
    shout(request, socket, head);
  } else {
    const webSockets = pathname === '/deflate' ? deflating : plain;
    webSockets.handleUpgrade(request, socket, head, (webSocket) => serve(webSocket, request));
  }
});

function refuse(socket) {
  const body = '{"error":"who are you?"}';
  socket.end(
    'HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nWWW-Authenticate: Basic realm="readers"\r\n' +
      `Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}

function shout(request, socket, head) {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\nConnection: Upgrade\r\nX-Volume: 11\r\n\r\nHELLO ');
  socket.unshift(head);
  socket.on('data', (bytes) => socket.write(bytes.toString('latin1').toUpperCase(), 'latin1'));
  socket.on('end', () => socket.end(() => report({ event: 'shouted' })));
}

let opened = 0;
let paused;
let flooded;

function serve(webSocket, request) {
  const id = ++opened;
  const { protocol, extensions } = webSocket;
  report({ event: 'open', id, url: request.url, headers: request.rawHeaders, protocol, extensions });
  webSocket.on('close', (code, reason) => report({ event: 'close', id, code, reason: reason.toString() }));
  webSocket.on('ping', (data) => report({ event: 'ping', id, data: data.toString() }));
  webSocket.on('pong', (data) => report({ event: 'pong', id, data: data.toString() }));
  webSocket.on('error', (error) => report({ event: 'error', id, code: error.code }));
  webSocket.on('message', (data, isBinary) => {
    if (!isBinary && data[0] === 0x21) {
      obey(webSocket, id, JSON.parse(data.toString().slice(1)));
    } else {
      webSocket.send(data, { binary: isBinary });
    }
  });
}

function obey(webSocket, id, command) {
  switch (command.do) {
    case 'close':
      webSocket.close(command.code, command.reason);
      break;
    case 'terminate':
      webSocket.terminate();
      break;
    case 'ping':
      webSocket.ping(command.data);
      break;
    case 'fragments':
      command.parts.forEach((part, index, { length }) => webSocket.send(part, { fin: index === length - 1 }));
      break;
    case 'flood':
      flood(webSocket, id, command);
      break;
    case 'pause':
      webSocket.pause();
      paused = webSocket;
      report({ event: 'paused', id });
      break;
    default:
      throw new Error(`unknown command ${command.do}`);
  }
}

// Sends without waiting, as careless applications do, and counts how often the socket asked to wait.
function flood(webSocket, id, { count, size }) {
  let refusals = 0;
  for (let number = 0; number < count; number += 1) {
    webSocket.send(Buffer.alloc(size, number));
    if (webSocket._socket.writableNeedDrain) refusals += 1;
  }
  report({ event: 'flooded', id, refusals });
  flooded = webSocket;
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'resume') paused.resume();
  if (line.startsWith('close ')) plain.clients.forEach((webSocket) => webSocket.close(Number(line.slice(6))));
  if (line === 'buffered') report({ event: 'buffered', bytes: flooded.bufferedAmount });
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => report({ event: 'listening', port: server.address().port }));
