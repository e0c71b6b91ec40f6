// The Socket.IO side: a reader sends `message` with one object, and everybody, the sender included, gets `hello` with
// that object as JSON text. Nothing is acknowledged, and other event names are ignored.
'use strict';

const { stringify } = require('./deep_json');

function serveEvents(io, database) {
  io.on('connection', (socket) => {
    // Server-wide, as in the original: whoever is connected hears of each new client.
    io.emit('hello', 'from server');

    // One chain of promises per socket keeps its messages in order: the next one begins when the lookup of the one
    // before has ended. Other sockets have chains of their own and do not wait.
    let chain = Promise.resolve();
    socket.on('message', (payload) => {
      chain = chain.then(async () => {
        await prepare(payload, database);
        io.emit('hello', textOf(payload));
      });
    });
  });
}

// Does the server's own work on the payload, in place. Whatever has another shape than the readers send is left alone.
async function prepare(payload, database) {
  switch (payload?.status) {
    case 'tmp inserted':
      picturesToBase64(payload.data);
      break;
    case 'tmp inserted wo pic':
      await addName(payload.data, database);
      break;
    default:
    // `tmp inserted by ic`, `tmp inserted by fing`, `insert ic_log`, `delete_ic`, `start_connect` pass unchanged.
  }
}

// The documentation does not say which fields carry a picture, so each one that came as a binary attachment does.
function picturesToBase64(data) {
  if (data === null || typeof data !== 'object' || Buffer.isBuffer(data)) return;
  for (const [field, value] of Object.entries(data)) {
    if (Buffer.isBuffer(value)) data[field] = value.toString('base64');
  }
}

// A name that is there but empty or null counts as missing. Its key then keeps its place, as assignment does in
// JavaScript, whereas a new key comes last.
async function addName(data, database) {
  const id = data?.id;
  // Only these can be the number of a driver; libsql aborts the whole process when it is asked to bind a boolean.
  if ((typeof id !== 'number' && typeof id !== 'string') || data.name) return;
  try {
    const driver = await database.driver(id);
    if (driver) data.name = driver.name;
  } catch (error) {
    // The punch matters more than the name, so it is broadcast without it.
    console.error(`timecard: the name of a driver could not be looked up: ${error.message || error.code}`);
  }
}

// A missing payload is undefined, or the callback where the client asked for an acknowledgement. JSON.stringify makes
// undefined of both, and Socket.IO then sends a bare null instead of a text.
function textOf(payload) {
  return payload === undefined || typeof payload === 'function' ? undefined : stringify(payload);
}

module.exports = { serveEvents };
