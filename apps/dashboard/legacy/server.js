// The legacy usage dashboard: JSON answers over the transcripts of a coding assistant, on one port, plain HTTP.
// This file only wires the parts together, in the order that clients can observe, and owns start and stop. Read on in
// settings.js and middleware.js; then usage.js, which is the heart of it, and the endpoints in routes/.
'use strict';

const { once } = require('node:events');
const http = require('node:http');

const express = require('express');

const { Cache } = require('./cache');
const { serveLogs } = require('./logs');
const { serveMcp } = require('./mcp');
const { answerErrors, answerUnknown, crossOrigin, extraHeaders, limitRate, securityHeaders } = require('./middleware');
const { serveBuild, servePage } = require('./pages');
const { serveDaily } = require('./routes/daily');
const { serveHourly } = require('./routes/hourly');
const { serveModels } = require('./routes/models');
const { serveMonthly } = require('./routes/monthly');
const { serveProjects } = require('./routes/projects');
const { serveSummary } = require('./routes/summary');
const { readSettings } = require('./settings');

function createApp(settings) {
  const app = express();
  const cache = new Cache(settings.cacheMs);

  app.use(securityHeaders());
  app.use(crossOrigin(settings));
  app.use(limitRate(settings));
  app.use(extraHeaders);
  app.use(express.json());
  if (settings.mode === 'production') serveBuild(app);

  app.use('/api/v2/summary', serveSummary(settings, cache));
  app.use('/api/v2/daily', serveDaily(settings, cache));
  app.use('/api/v2/monthly', serveMonthly(settings, cache));
  app.use('/api/v2/models', serveModels(settings, cache));
  app.use('/api/v2/projects', serveProjects(settings, cache));
  app.use('/api/v2/hourly', serveHourly(settings, cache));
  app.use('/api/v2/mcp', serveMcp(settings, cache));
  app.use('/api/v2/logs', serveLogs(settings));
  if (settings.mode === 'production') servePage(app);

  app.use(answerUnknown);
  app.use(answerErrors(settings));
  return app;
}

async function main() {
  const settings = readSettings(process.env);
  const server = http.createServer(createApp(settings));
  server.listen(settings.port, settings.host);
  await once(server, 'listening');
  const stop = () => {
    server.close(() => process.exit(0));
    // An idle connection would keep the server open until its client goes away.
    server.closeAllConnections();
  };
  // `once` leaves Node's default for the second signal, which ends the process immediately.
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  const { address, family, port } = server.address();
  console.log(`dashboard listening on http://${family === 'IPv6' ? `[${address}]` : address}:${port}`);
}

main().catch((error) => {
  console.error(`dashboard: ${error.message}`);
  process.exit(1);
});
