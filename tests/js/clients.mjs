// Clients as socket.io-client makes them, of the version that the argument names: 4.8, 4.0 or 3.1. Certificate
// verification is off. Commands come on stdin and reports go to stdout, one JSON value a line, the same as in
// tests/python/clients.py:
//
// {"do":"open","client":"a","url":URL,"mode":MODE,"namespaces":["/"],"auth":{…}}  MODE is upgrade, websocket or polling
// {"do":"emit","client":"a","namespace":"/","what":"message","values":[…]}        `ask` instead of `emit` wants an ack
// {"do":"transport","client":"a"}                              reports what it talks over, after an upgrade
// {"do":"lose","client":"a"}, {"do":"return","client":"a"}     gives up the connection, and connects again (not Python)
// {"do":"close","client":"a"}
//
// {"client":"a","namespace":"/","event":"connect","recovered":false}; `connect_error` has `message` and `data`,
// `disconnect` a `reason`, `got` an event's name as `what` and its `values`, `acked` its `values`, `transport` a `name`.
// Bytes are {"bytes":HEX}, long ones and long texts {"sha1":HEX,"length":N}; the client's own id is "(id)". Every
// event that wants an ack gets {"answer":VALUES}.

import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';

const PACKAGES = { 4.8: 'socket.io-client', '4.0': 'socket.io-client-4-0', 3.1: 'socket.io-client-3-1' };
const TRANSPORTS = { upgrade: ['polling', 'websocket'], websocket: ['websocket'], polling: ['polling'] };
const LONG = 2000;

const library = await import(PACKAGES[process.argv[2]]);
const { Manager } = library.Manager ? library : library.default;

const clients = new Map();

const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

// From a command.
function read(value) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(read);
  if (Object.keys(value).join() === 'bytes') return Buffer.from(value.bytes, 'hex');
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, read(item)]));
}

// Into a report.
function written(value, id) {
  const long = (data) => ({ sha1: createHash('sha1').update(data).digest('hex'), length: data.length });
  if (value === id && id) return '(id)';
  if (typeof value === 'string') return value.length < LONG ? value : long(value);
  if (Buffer.isBuffer(value)) return value.length < LONG ? { bytes: value.toString('hex') } : long(value);
  if (Array.isArray(value)) return value.map((item) => written(item, id));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, written(item, id)]));
}

function open({ client, url, mode, namespaces, auth }) {
  const manager = new Manager(url, {
    transports: TRANSPORTS[mode], rejectUnauthorized: false, reconnection: false, autoConnect: false,
  });
  const sockets = new Map();
  for (const namespace of namespaces) {
    const socket = manager.socket(namespace, { auth });
    const say = (event, fields) => report({ client, namespace, event, ...fields });
    socket.on('connect', () => say('connect', { recovered: socket.recovered ?? false }));
    socket.on('connect_error', ({ message, data }) => say('connect_error', { message, data: data ?? null }));
    socket.on('disconnect', (reason) => say('disconnect', { reason }));
    socket.onAny((what, ...values) => {
      const reply = typeof values.at(-1) === 'function' ? values.pop() : undefined;
      say('got', { what, values: written(values, socket.id) });
      reply?.({ answer: values });
    });
    socket.connect();
    sockets.set(namespace, socket);
  }
  clients.set(client, { manager, sockets, mode });
}

// The browser's way begins with polling and ends with a WebSocket.
async function transport({ client }) {
  const { manager: { engine }, mode } = clients.get(client);
  if (mode === 'upgrade' && engine.transport.name === 'polling') {
    await new Promise((resolve) => engine.once('upgrade', resolve));
  }
  report({ client, namespace: '', event: 'transport', name: engine.transport.name });
}

function emit({ client, namespace, what, values }, ...callback) {
  clients.get(client).sockets.get(namespace).emit(what, ...read(values), ...callback);
}

function ask(command) {
  const { client, namespace } = command;
  const { id } = clients.get(client).sockets.get(namespace);
  emit(command, (...values) => report({ client, namespace, event: 'acked', values: written(values, id) }));
}

async function obey(command) {
  switch (command.do) {
    case 'open': return open(command);
    case 'emit': return emit(command);
    case 'ask': return ask(command);
    case 'transport': return transport(command);
    case 'lose': return clients.get(command.client).manager.engine.close();
    case 'return': return clients.get(command.client).sockets.forEach((socket) => socket.connect());
    case 'close': return clients.get(command.client).sockets.forEach((socket) => socket.disconnect());
    default: throw new Error(`unknown command ${command.do}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) await obey(JSON.parse(line));
process.exit();
