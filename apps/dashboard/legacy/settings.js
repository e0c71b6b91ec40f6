// Reads the environment once, at start, and refuses what cannot work with one clear line.
'use strict';

const os = require('node:os');
const path = require('node:path');

const MINUTE_MS = 60 * 1000;

function readSettings(environment) {
  return {
    host: environment.HOST || '127.0.0.1',
    port: readNumber('PORT', environment.PORT || '30001', 65535),
    // Three states: production, development, and anything else, which hides error texts without being production.
    mode: environment.NODE_ENV,
    processor: environment.PROCESSOR || null,
    rateLimit: readNumber('RATE_LIMIT', environment.RATE_LIMIT || '1000'),
    cacheMs: readNumber('CACHE_MS', environment.CACHE_MS || String(5 * MINUTE_MS)),
    places: places(os.homedir()),
    readable: readablePrefixes(environment.HOME),
  };
}

// The paths of macOS, on every system.
function places(home) {
  return {
    home,
    projects: path.join(home, '.claude', 'projects'),
    todos: path.join(home, '.claude', 'todos'),
    mcpLogs: path.join(home, 'Library', 'Caches', 'claude-cli-nodejs'),
    tasks: path.join(home, 'Library', 'Application Support', 'Code', 'User', 'globalStorage', 'saoudrizwan.claude-dev'),
  };
}

// Text, not paths: an unset HOME becomes the word `undefined`, and what is compared is the beginning of a text.
function readablePrefixes(home) {
  return [
    `${home}/.claude`,
    `${home}/Library/Caches/claude-cli-nodejs`,
    `${home}/Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev`,
  ];
}

function readNumber(name, text, largest = Number.MAX_SAFE_INTEGER) {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(number <= largest)) throw new Error(`${name} must be a number from 0 to ${largest}, not \`${text}\``);
  return number;
}

module.exports = { places, readSettings };
