// Answers of the last five minutes by their key, in memory. Nothing is ever evicted, only replaced.
'use strict';

class Cache {
  constructor(lifetimeMs) {
    this.lifetimeMs = lifetimeMs;
    this.entries = new Map();
  }

  // Returns undefined where there is none, or where it is too old.
  get(key) {
    const entry = this.entries.get(key);
    return entry && Date.now() - entry.since < this.lifetimeMs ? entry.value : undefined;
  }

  set(key, value) {
    this.entries.set(key, { value, since: Date.now() });
  }
}

module.exports = { Cache };
