// The legacy attendance time card: REST answers, pages and a Socket.IO server on one port.
// This file only wires the parts together and owns start and stop. Read on in settings.js, database.js and seed.js,
// api.js, pages.js, and events.js, which is the heart of it.
'use strict';

const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');

const express = require('express');
const { Server } = require('socket.io');

const { serveApi } = require('./api');
const { openDatabase } = require('./database');
const { serveEvents } = require('./events');
const { servePages } = require('./pages');
const { seed } = require('./seed');
const { readSettings } = require('./settings');

// Readers do not answer every close frame, so an orderly stop waits for them only this long.
const STOP_DEADLINE_MS = 1000;

async function main() {
  const settings = readSettings(process.env);
  const database = await openDatabase(settings.databaseUrl);
  await seed(database);

  const app = express();
  serveApi(app, database);
  servePages(app);

  const server = settings.tls ? https.createServer(settings.tls, app) : http.createServer(app);
  // Every Socket.IO option keeps its default: the readers and the proxy know the protocol with exactly these.
  const io = new Server(server);
  serveEvents(io, database);

  server.listen(settings.port, settings.host);
  await once(server, 'listening');
  stopOnSignal(io, database);
  console.log(`timecard listening on ${publicUrl(server, settings)}`);
}

function stopOnSignal(io, database) {
  const stop = async () => {
    // Closing Socket.IO also closes the HTTP server below it; its callback comes when the last connection is gone.
    const closed = new Promise((resolve) => io.close(resolve));
    const deadline = new Promise((resolve) => setTimeout(resolve, STOP_DEADLINE_MS));
    await Promise.race([closed, deadline]);
    // A database that hangs must not keep the process alive, therefore nobody waits for the end of this close.
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
  console.error(`timecard: ${error.message}`);
  process.exit(1);
});
