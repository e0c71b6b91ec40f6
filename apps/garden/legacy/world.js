// Generation C: one world in memory, shared by all connections, without tokens. What it is told by a text that it does
// not know, it ignores; state is sent on request only, also while the world runs.
'use strict';

const { randomUUID } = require('node:crypto');

const TICK_MS = 50;

const PLAIN_KINDS = ['Asteroid', 'Comet', 'Moon', 'DwarfPlanet'];
const DETAILED_KINDS = ['Star', 'Planet', 'BlackHole'];

class World {
  constructor() {
    this.resources = {
      cosmic_dust: 0, energy: 0, organic_matter: 0, biomass: 0, dark_matter: 0, thought_points: 0,
    };
    this.bodies = new Map();
    this.tick = 0;
    this.timer = null;
  }

  serve(socket) {
    const send = (message) => socket.send(JSON.stringify(message));
    send({ type: 'Ping' });
    send(this.state());
    socket.on('message', (data, isBinary) => {
      const message = isBinary ? null : parse(data.toString());
      for (const answer of this.answers(message)) send(answer);
    });
    socket.on('error', () => {});
  }

  answers(message) {
    switch (message?.type) {
      case 'GetGameState':
        return [this.state()];
      case 'CreateBody':
        return isKind(message.body_type) && isPosition(message.position) ? this.create(message) : [];
      case 'RemoveBody':
        return isId(message.body_id) ? this.remove(message.body_id) : [];
      case 'SpendResources':
        return isAmount(message.cosmic_dust) && isAmount(message.energy) ? this.spend(message) : [];
      case 'SetGameRunning':
        if (typeof message.running === 'boolean') this.run(message.running);
        return [];
      default:
        return [];
    }
  }

  // Which creations the original refuses, and the mass and size of a new body, are not known. Here none is refused.
  create({ body_type: bodyType, position }) {
    const id = randomUUID();
    this.bodies.set(id, {
      id, body_type: bodyType, position, velocity: [0, 0, 0], mass: 1, radius: 1, age: 0, population: 0,
    });
    return [{ type: 'BodyCreated', body_id: id, success: true, error: null }, this.state()];
  }

  remove(id) {
    const success = this.bodies.delete(id);
    const removed = { type: 'BodyRemoved', body_id: id, success };
    return success ? [removed, this.state()] : [removed];
  }

  spend({ cosmic_dust: dust, energy }) {
    const { resources } = this;
    if (dust > resources.cosmic_dust || energy > resources.energy) {
      return [{ type: 'Error', message: 'Insufficient resources' }];
    }
    resources.cosmic_dust -= dust;
    resources.energy -= energy;
    return [this.state()];
  }

  run(running) {
    if (!running) this.stop();
    else if (this.timer === null) this.timer = setInterval(() => this.advance(), TICK_MS);
  }

  advance() {
    this.tick += 1;
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  state() {
    return { type: 'GameState', resources: this.resources, bodies: [...this.bodies.values()], tick: this.tick };
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// "Planet" alone is no kind: a planet needs its details.
function isKind(kind) {
  if (typeof kind === 'string') return PLAIN_KINDS.includes(kind);
  const [name, ...others] = Object.keys(kind ?? {});
  return others.length === 0 && DETAILED_KINDS.includes(name) && typeof kind[name] === 'object' && kind[name] !== null;
}

function isPosition(position) {
  return Array.isArray(position) && position.length === 3 && position.every(Number.isFinite);
}

function isId(id) {
  return typeof id === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id);
}

function isAmount(amount) {
  return Number.isSafeInteger(amount) && amount >= 0;
}

module.exports = { World };
