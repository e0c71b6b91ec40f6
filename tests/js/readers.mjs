// Card readers and pages, as socket.io-client connects them: certificate verification off, everything else by default.
// Commands and reports are those of tests/python/readers.py.

import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const TRANSPORTS = { websocket: ['websocket'], polling: ['polling'] };
const LONG = 2000;

let clients = [];

const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

// Long texts are compared by their hash.
function digest(text) {
  if (typeof text !== 'string' || text.length < LONG) return text;
  return `sha1:${createHash('sha1').update(text).digest('hex')}:${[...text].length}`;
}

function picture([number, repeat]) {
  return Buffer.alloc(256 * repeat, Buffer.from(Array.from({ length: 256 }, (_, index) => (number + 7 * index) % 256)));
}

function withPictures(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  if (Object.keys(value).join() === 'picture') return picture(value.picture);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withPictures(item)]));
}

// Resolves at the first connection; a later one is reported as well.
function connect(client, url, mode) {
  const transports = TRANSPORTS[mode];
  const socket = io(url, { forceNew: true, rejectUnauthorized: false, ...(transports && { transports }) });
  socket.on('disconnect', () => report({ event: 'disconnected', client }));
  socket.on('hello', (text) => report({ event: 'hello', client, text: digest(text) }));
  return new Promise((resolve) => {
    socket.on('connect', () => {
      report({ event: 'connected', client });
      resolve({ socket, mode });
    });
  });
}

// The browser's way begins with polling and ends with a WebSocket.
function transport({ socket: { io: { engine } }, mode }) {
  if (mode !== 'upgrade' || engine.transport.name === 'websocket') return engine.transport.name;
  return new Promise((resolve) => engine.once('upgrade', ({ name }) => resolve(name)));
}

async function obey(command) {
  switch (command.do) {
    case 'connect':
      for (const mode of command.modes) clients.push(await connect(clients.length, command.url, mode));
      break;
    case 'send':
      for (const turn of command.messages[0].keys()) {
        command.messages.forEach((own, client) => clients[client].socket.emit('message', withPictures(own[turn])));
      }
      break;
    case 'transports':
      report({ event: 'transports', names: await Promise.all(clients.map(transport)) });
      break;
    case 'disconnect':
      for (const { socket } of clients) socket.disconnect();
      clients = [];
      report({ event: 'done' });
      break;
    default:
      throw new Error(`unknown command ${command.do}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) await obey(JSON.parse(line));
process.exit();
