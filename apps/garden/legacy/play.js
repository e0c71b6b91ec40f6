// A player to watch: says something every second, and prints what goes out (>) and what comes in (<).
// node play.js [URL] [USER]    with JWT_SECRET as the server has it, and NODE_EXTRA_CA_CERTS for a private CA.
'use strict';

const WebSocket = require('ws');

const { readSecret } = require('./settings');
const { tokenFor } = require('./token');

const TOKEN_SECONDS = 24 * 3600;
const PAUSE_MS = 1000;

const SAYINGS = [
  '{"type":"Heartbeat"}',
  '{"type":"CreateCelestialBody","data":{"body_type":"Planet","position":{"x":100,"y":200,"z":0}}}',
  '{"type":"GetState"}',
  '{"type":"SaveGame","data":{"state":{"resources":{},"celestial_bodies":[],"research":{},"statistics":{}}}}',
];

function play(url, user) {
  const token = tokenFor(user, readSecret(process.env), TOKEN_SECONDS);
  const socket = new WebSocket(`${url}/api/ws?token=${token}`);
  let said = 0;
  let timer;
  socket.on('open', () => {
    timer = setInterval(() => {
      const text = SAYINGS[said % SAYINGS.length];
      said += 1;
      console.log(`> ${text}`);
      socket.send(text);
    }, PAUSE_MS);
  });
  socket.on('message', (data) => console.log(`< ${data}`));
  socket.on('unexpected-response', (_, response) => fail(`the server answered ${response.statusCode}`));
  socket.on('error', (error) => fail(error.message || error.code));
  socket.on('close', (code) => {
    clearInterval(timer);
    console.log(`closed: ${code}`);
  });
}

function fail(reason) {
  console.error(`play: ${reason}`);
  process.exit(1);
}

try {
  const [url = 'wss://localhost:3050', user = 'gardener'] = process.argv.slice(2);
  play(url, user);
} catch (error) {
  fail(error.message);
}
