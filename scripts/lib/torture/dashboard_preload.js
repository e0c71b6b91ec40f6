// Loaded into apps/dashboard/legacy before its server, for comparisons of thousands of answers.
//
// REMEMBER=1  processes the transcripts once: they do not change meanwhile. What is made of them, and its cache, stay.
// SPOIL=1     makes one fault of each kind, which a comparison has to see: a status, a header, a digit of a body.
'use strict';

const http = require('node:http');
const path = require('node:path');

const processed = require(path.join(path.dirname(process.argv[1]), 'process.js'));

if (process.env.REMEMBER) remember();
if (process.env.SPOIL) spoil();

function remember() {
  const { loadUsage } = processed;
  let usage;
  processed.loadUsage = async (settings) => {
    usage ??= loadUsage(settings);
    const { models, projects, ...others } = await usage;
    // The endpoints sort these two in place.
    return { ...others, models: [...models], projects: [...projects] };
  };
}

function spoil() {
  const { loadUsage } = processed;
  processed.loadUsage = async (settings) => {
    const usage = await loadUsage(settings);
    return { ...usage, detailed: usage.detailed.map((entry) => ({ ...entry, cost: entry.cost * (1 + Number.EPSILON) })) };
  };
  const { createServer } = http;
  http.createServer = (app) => createServer((request, response) => {
    if (request.url.startsWith('/api/v2/models')) {
      const { writeHead } = response;
      response.writeHead = (status, ...others) => writeHead.call(response, status === 200 ? 203 : status, ...others);
    }
    if (request.url.startsWith('/api/v2/monthly')) {
      const { setHeader } = response;
      response.setHeader = (name, value) => (name === 'Permissions-Policy' ? response : setHeader.call(response, name, value));
    }
    app(request, response);
  });
}
