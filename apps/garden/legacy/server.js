// The legacy game backend: JSON messages over WebSockets, two generations of the protocol on one port.
// This file only wires the parts together and owns start and stop. Read on in settings.js, database.js, garden.js
// (generation B, /api/ws) with messages.js, json_text.js and token.js, and world.js (generation C, /ws).
'use strict';

const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');

const { WebSocketServer } = require('ws');

const { openDatabase } = require('./database');
const { Garden, authenticate } = require('./garden');
const { readSettings } = require('./settings');
const { World } = require('./world');

const FRAME_LIMIT_BYTES = 64 * 1024;

// Clients do not answer every close frame, so an orderly stop waits for them only this long.
const STOP_DEADLINE_MS = 1000;

async function main() {
  const settings = readSettings(process.env);
  const database = openDatabase(settings.databaseFile);
  const garden = new Garden(database, settings);
  const world = new World();

  // No sub-protocol is ever chosen; ws would take the first that the client offers.
  const options = { noServer: true, maxPayload: FRAME_LIMIT_BYTES, handleProtocols: () => false };
  const generationB = new WebSocketServer(options);
  const generationC = new WebSocketServer({ ...options, autoPong: false });

  const server = settings.tls ? https.createServer(settings.tls) : http.createServer();
  server.on('upgrade', (request, socket, head) => {
    switch (pathOf(request)) {
      case '/api/ws': {
        const { user, refusal } = authenticate(request, settings);
        if (refusal) refuse(socket, '401 Unauthorized', refusal);
        else generationB.handleUpgrade(request, socket, head, (webSocket) => garden.serve(webSocket, user));
        break;
      }
      case '/ws':
        generationC.handleUpgrade(request, socket, head, (webSocket) => world.serve(webSocket));
        break;
      default:
        refuse(socket, '404 Not Found', '{"error":"not found"}');
    }
  });
  server.on('request', (request, response) => {
    const isSocket = ['/api/ws', '/ws'].includes(pathOf(request));
    response.writeHead(isSocket ? 426 : 404, { 'Content-Type': 'application/json' });
    response.end(isSocket ? '{"error":"upgrade required"}' : '{"error":"not found"}');
  });

  server.listen(settings.port, settings.host);
  await once(server, 'listening');
  stopOnSignal(server, [generationB, generationC], world, database);
  console.log(`garden listening on ${publicUrl(server, settings)}`);
}

function pathOf(request) {
  return request.url.split('?', 1)[0];
}

// Before the upgrade a client gets an ordinary answer.
function refuse(socket, status, body) {
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function stopOnSignal(server, webSocketServers, world, database) {
  const stop = async () => {
    world.stop();
    const closed = new Promise((resolve) => server.close(resolve));
    for (const webSocket of webSocketServers.flatMap(({ clients }) => [...clients])) webSocket.close(1001);
    const deadline = new Promise((resolve) => setTimeout(resolve, STOP_DEADLINE_MS));
    await Promise.race([closed, deadline]);
    database.close();
    process.exit(0);
  };
  // `once` leaves Node's default for the second signal, which ends the process immediately.
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

function publicUrl(server, settings) {
  const { address, family, port } = server.address();
  const host = family === 'IPv6' ? `[${address}]` : address;
  return `${settings.tls ? 'https' : 'http'}://${host}:${port}`;
}

main().catch((error) => {
  console.error(`garden: ${error.message}`);
  process.exit(1);
});
