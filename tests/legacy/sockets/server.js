// A Socket.IO server that does what any client may ask of one, and a bare Engine.IO echo beside it. Tests compare what
// it answers directly with what comes through the proxy; the events themselves are in events.js. What happens is
// reported on stdout, one JSON value a line.
//
// HOST, PORT, TLS_CERT, TLS_KEY        where it listens; https with both files, plain http without
// PING_INTERVAL, PING_TIMEOUT          in milliseconds (25000, 20000)
// CONNECT_TIMEOUT                      how long a client may wait with its first CONNECT (45000)
// MAX_PAYLOAD                          in bytes (1000000)
// RECOVERY                             how long the state of a lost connection is kept, in milliseconds; unset: not at all
// CORS_ORIGIN, COOKIE                  the origin that may read the answers; the name of a cookie with the session's id
// ALLOW_EIO3                           clients of Engine.IO 3 are served too
// REFUSE                               a handshake with this value of `?pass=` is refused
// LOGIN                                Engine.IO's middleware refuses each request after the command logout
// DOOR                                 `?door=` says how a handshake ends without a refusal in words: see `turnAway`
// TOKEN, WELCOME                       what `/guarded` wants to see (sesame); greets everybody, see events.js
//
// Paths: /socket.io/ and /engine.io/; a message to the latter comes back. Any other request gets the text `plain`.
// Lines on stdin: {"do":"emit","namespace":"/","room":"r","event":"e","arguments":[…]}, the room may be missing;
// {"do":"disconnect","namespace":"/","close":true}; {"do":"admit"}; {"do":"logout"}.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const readline = require('node:readline');

const engine = require('engine.io');
const { Server } = require('socket.io');

const { serveNamespaces, admitAll } = require('./events');

const { env } = process;
const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

function answer(request, response) {
  response.setHeader('Content-Type', 'text/plain');
  response.end('plain');
}

const tls = env.TLS_CERT && { cert: fs.readFileSync(env.TLS_CERT), key: fs.readFileSync(env.TLS_KEY) };
const server = tls ? https.createServer(tls, answer) : http.createServer(answer);

// How applications get rid of a client that they do not want. Anything else is let in.
function turnAway(request, decide) {
  const { socket } = request;
  switch (request._query.door) {
    case 'destroy':
      socket.destroy();
      break;
    case 'garbage':
      socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nno');
      break;
    case 'no-http':
      socket.end('go away');
      break;
    case 'busy':
      socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy');
      break;
    default:
      decide(null, true);
  }
}

const options = {
  pingInterval: Number(env.PING_INTERVAL || 25000),
  pingTimeout: Number(env.PING_TIMEOUT || 20000),
  maxHttpBufferSize: Number(env.MAX_PAYLOAD || 1e6),
  ...(env.ALLOW_EIO3 && { allowEIO3: true }),
  ...(env.CORS_ORIGIN && { cors: { origin: env.CORS_ORIGIN, credentials: true, exposedHeaders: ['X-Answer'] } }),
  ...(env.COOKIE && { cookie: { name: env.COOKIE, path: '/', sameSite: 'strict' } }),
  ...(env.DOOR && { allowRequest: turnAway }),
  ...(env.REFUSE && { allowRequest: (request, decide) => decide('no pass', request._query.pass !== env.REFUSE) }),
};

const io = new Server(server, {
  ...options,
  connectTimeout: Number(env.CONNECT_TIMEOUT || 45000),
  ...(env.RECOVERY && { connectionStateRecovery: { maxDisconnectionDuration: Number(env.RECOVERY) } }),
});
serveNamespaces(io, report);

let loggedIn = true;
if (env.LOGIN) {
  io.engine.use((request, response, next) => {
    if (loggedIn) return next();
    response.writeHead(401);
    response.end('log in');
  });
}

engine.attach(server, options).on('connection', (socket) => {
  socket.on('message', (data) => socket.send(data));
});

// An event handler that throws ends a Node process, unless somebody is here to see it.
process.on('uncaughtException', (error) => report({ event: 'uncaught', message: error.message }));

function obey(command) {
  if (command.do === 'admit') return admitAll();
  if (command.do === 'logout') {
    loggedIn = false;
    return report({ event: 'logged out' });
  }
  const namespace = io.of(command.namespace);
  switch (command.do) {
    case 'emit':
      (command.room ? namespace.to(command.room) : namespace).emit(command.event, ...command.arguments);
      break;
    case 'disconnect':
      namespace.disconnectSockets(command.close);
      break;
    default:
      throw new Error(`unknown command ${command.do}`);
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => obey(JSON.parse(line)));

server.listen({ host: env.HOST || '127.0.0.1', port: Number(env.PORT || 0), backlog: 4096 }, () => {
  report({ event: 'listening', port: server.address().port });
});
