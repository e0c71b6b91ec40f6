// What the namespaces do. `/` and `/custom` are open to all, `/guarded` asks for a token, `/dynamic-N` is made when
// somebody connects to it; all of them serve the same events:
//
// (on connect)          emits `auth` with the handshake's auth; with WELCOME set, emits `welcome` to everybody. A client
//                       whose auth says {"node":"hold"} has to wait for the command `admit`
// message …             emits `message-back` with the same arguments
// message-with-ack … f  acknowledges with the same arguments
// side …               emits `side-back` with the word `node` before the same arguments
// trouble …             the same; natively its first argument says what goes wrong
// silent f              never acknowledges
// whoami f              acknowledges with { id, namespace, recovered, rooms }; the transport is not among it, since the
//                       proxy talks to Node over WebSockets whatever the client does
// join room f           enters a room; `leave room f` leaves it
// tell room …           emits `told` to everybody in the room
// tell-others …         emits `told` to everybody but the sender
// tell-all …            emits `told` to everybody
// ask …                 emits `question` and waits for its ack, which comes back as `replied`
// volatile n            emits `maybe` n times, and then `volatile-end`, which is not volatile
// burst n               emits `numbered` 0 to n - 1
// big n                 emits `big-back` with n letters; `big-binary n` with n bytes
// kick                  disconnects this namespace; `kick-all` closes the whole connection
// drop                  loses the connection as a network does, without a word
// throw                 throws
//
// The same events are served natively by examples/sockets.
'use strict';

const ASK_TIMEOUT_MS = 5000;
const TOKEN = process.env.TOKEN || 'sesame';

// Clients that wait for `admit`.
const held = [];

function serveNamespaces(io, report) {
  const guarded = io.of('/guarded').use((socket, next) => {
    if (socket.handshake.auth.token === TOKEN) return next();
    const error = new Error('no such token');
    error.data = { code: 'E_TOKEN', given: socket.handshake.auth.token ?? null };
    return next(error);
  });
  for (const namespace of [io.of('/'), io.of('/custom'), guarded, io.of(/^\/dynamic-\d+$/)]) {
    namespace.use((socket, next) => {
      if (socket.handshake.auth.node !== 'hold') return next();
      held.push(next);
      return report({ event: 'held', namespace: socket.nsp.name });
    });
    namespace.on('connection', (socket) => serve(socket, report));
  }
}

function serve(socket, report) {
  const { id, nsp: namespace, recovered, handshake } = socket;
  report({ event: 'connected', namespace: namespace.name, id, recovered });
  socket.on('disconnect', (reason) => report({ event: 'disconnected', namespace: namespace.name, id, reason }));

  socket.emit('auth', handshake.auth);
  if (process.env.WELCOME) namespace.emit('welcome');
  socket.on('message', (...values) => socket.emit('message-back', ...values));
  socket.on('message-with-ack', (...values) => values.pop()(...values));
  socket.on('side', (...values) => socket.emit('side-back', 'node', ...values));
  socket.on('trouble', (...values) => socket.emit('side-back', 'node', ...values));
  socket.on('silent', () => {});
  socket.on('whoami', (reply) => {
    reply({ id, namespace: namespace.name, recovered, rooms: [...socket.rooms].filter((room) => room !== id) });
  });
  socket.on('join', (room, reply) => {
    socket.join(room);
    reply();
  });
  socket.on('leave', (room, reply) => {
    socket.leave(room);
    reply();
  });
  socket.on('tell', (room, ...values) => namespace.to(room).emit('told', ...values));
  socket.on('tell-others', (...values) => socket.broadcast.emit('told', ...values));
  socket.on('tell-all', (...values) => namespace.emit('told', ...values));
  socket.on('ask', async (...values) => {
    try {
      socket.emit('replied', await socket.timeout(ASK_TIMEOUT_MS).emitWithAck('question', ...values));
    } catch (error) {
      socket.emit('unanswered', error.message);
    }
  });
  socket.on('volatile', (count) => {
    for (let number = 0; number < count; number += 1) socket.volatile.emit('maybe', number);
    socket.emit('volatile-end');
  });
  socket.on('burst', (count) => {
    for (let number = 0; number < count; number += 1) socket.emit('numbered', number);
  });
  socket.on('big', (count) => socket.emit('big-back', 'x'.repeat(count)));
  socket.on('big-binary', (count) => socket.emit('big-back', Buffer.alloc(count, 0xe9)));
  socket.on('kick', () => socket.disconnect());
  socket.on('kick-all', () => socket.disconnect(true));
  socket.on('drop', () => {
    const { conn } = socket;
    if (conn.transport.name === 'websocket') conn.transport.socket.terminate();
    else conn.close(true);
  });
  socket.on('throw', () => {
    throw new Error('on purpose');
  });
}

const admitAll = () => held.splice(0).forEach((next) => next());

module.exports = { serveNamespaces, admitAll };
