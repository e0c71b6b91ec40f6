// Generation B: one connection, its keep-alive, and the other devices of its user.
'use strict';

const messages = require('./messages');
const { userOf } = require('./token');

// A device that has not taken this many pushes gets only the newest of the further ones.
const WAITING_PUSHES = 32;

// Who asks for an upgrade: { user }, null in it for the anonymous sessions of the observed endpoint, or { refusal }.
function authenticate(request, settings) {
  if (settings.observed) return { user: null };
  const token = queryToken(request.url) ?? bearerToken(request.headers.authorization);
  if (token === undefined) return { refusal: '{"error":"認証が必要です"}' };
  const user = userOf(token, settings.jwtSecret);
  return user === null ? { refusal: '{"error":"無効なトークンです"}' } : { user };
}

// The first pair counts, as it came: nothing is percent-decoded.
function queryToken(target) {
  const start = target.indexOf('?');
  if (start === -1) return undefined;
  const pair = target.slice(start + 1).split('&').find((text) => text.startsWith('token='));
  return pair?.slice('token='.length);
}

function bearerToken(authorization) {
  return authorization?.startsWith('Bearer ') ? authorization.slice('Bearer '.length) : undefined;
}

class Garden {
  constructor(database, settings) {
    this.database = database;
    this.settings = settings;
    // User to the set of that user's devices.
    this.devices = new Map();
  }

  // Says nothing until the client does.
  serve(socket, user) {
    const device = new Device(socket);
    this.join(user, device);
    let heard = performance.now();
    const hear = () => {
      heard = performance.now();
    };
    const timer = setInterval(() => {
      // Without a close frame, so that the client sees an abnormal end and reconnects.
      if (performance.now() - heard > this.settings.clientTimeout) socket.terminate();
      else socket.ping();
    }, this.settings.pingInterval);
    socket.on('ping', hear);
    socket.on('pong', hear);
    socket.on('message', (data, isBinary) => {
      hear();
      socket.send(isBinary ? messages.error('BINARY_NOT_SUPPORTED') : this.answer(device, user, data.toString()));
    });
    // ws has sent the close code already: 1009 over 64 KiB, 1007 for text that is not UTF-8, 1002 for broken frames.
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(timer);
      this.leave(user, device);
    });
  }

  // One answer a message. Everything is synchronous, which keeps the order.
  answer(device, user, text) {
    const message = messages.parseMessage(text);
    if (message === null) return messages.error('INVALID_FORMAT');
    if (message.type === 'Heartbeat') return messages.heartbeat();
    if (user === null) return messages.error('AUTH_REQUIRED');
    try {
      return this.act(device, user, message);
    } catch (error) {
      console.error(`garden: ${message.type}: ${error.message}`);
      return messages.error('INTERNAL_ERROR');
    }
  }

  act(device, user, message) {
    switch (message.type) {
      case 'GetState':
        return messages.stateUpdate(this.database.load(user));
      case 'CreateCelestialBody':
        this.push(user, device, this.database.append(user, message.body));
        return messages.bodyCreated(message.bodyType);
      case 'SaveGame':
        this.database.save(user, message.state);
        this.push(user, device, message.state);
        return messages.gameSaved();
      default:
        throw new Error('nobody parses such a message');
    }
  }

  // Tells the user's other devices.
  push(user, from, state) {
    const text = messages.stateUpdate(state);
    for (const device of this.devices.get(user)) {
      if (device !== from) device.push(text);
    }
  }

  join(user, device) {
    if (user === null) return;
    if (!this.devices.has(user)) this.devices.set(user, new Set());
    this.devices.get(user).add(device);
  }

  leave(user, device) {
    const devices = this.devices.get(user);
    if (devices?.delete(device) && devices.size === 0) this.devices.delete(user);
  }
}

class Device {
  constructor(socket) {
    this.socket = socket;
    this.waiting = 0;
    this.newest = null;
  }

  push(text) {
    if (this.waiting === WAITING_PUSHES) {
      this.newest = text;
      return;
    }
    this.waiting += 1;
    this.socket.send(text, () => {
      this.waiting -= 1;
      const { newest } = this;
      this.newest = null;
      if (newest !== null) this.push(newest);
    });
  }
}

module.exports = { Garden, authenticate };
