// Reads the environment once, at start, and refuses what cannot work with one clear line.
// An empty variable counts as unset, since that is how shells and unit files spell "default".
'use strict';

const fs = require('node:fs');
const tls = require('node:tls');

const DEFAULT_DATABASE_URL = 'sqlite:data/garden.db';

// The largest delay that a timer of Node takes; it fires at once for a longer one.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

// Returns { host, port, tls: { cert, key } | null, databaseFile, jwtSecret, observed, pingInterval, clientTimeout }.
// `jwtSecret` is null where nobody's token is looked at; times are in milliseconds.
function readSettings(environment) {
  const observed = readObserved(environment.AUTH || 'intended');
  return {
    host: environment.HOST || '127.0.0.1',
    port: readNumber('PORT', environment.PORT || '3051', 0, 65535),
    tls: readTls(environment.TLS_CERT, environment.TLS_KEY),
    databaseFile: readDatabaseFile(environment),
    observed,
    jwtSecret: observed ? null : readSecret(environment),
    pingInterval: readNumber('PING_INTERVAL', environment.PING_INTERVAL || '30000', 1, LONGEST_TIMER_MS),
    clientTimeout: readNumber('CLIENT_TIMEOUT', environment.CLIENT_TIMEOUT || '60000', 1, LONGEST_TIMER_MS),
  };
}

function readDatabaseFile(environment) {
  const url = environment.DATABASE_URL || DEFAULT_DATABASE_URL;
  const file = url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : '';
  if (!file) throw new Error(`DATABASE_URL must be \`sqlite:PATH\`, not \`${url}\``);
  return file;
}

function readSecret(environment) {
  if (!environment.JWT_SECRET) throw new Error('JWT_SECRET is missing: the secret that signs the tokens of the players');
  return environment.JWT_SECRET;
}

function readObserved(auth) {
  if (auth !== 'intended' && auth !== 'observed') {
    throw new Error(`AUTH must be \`intended\` or \`observed\`, not \`${auth}\``);
  }
  return auth === 'observed';
}

function readNumber(name, text, least, most) {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(number >= least && number <= most)) {
    throw new Error(`${name} must be a number from ${least} to ${most}, not \`${text}\``);
  }
  return number;
}

function readTls(certPath, keyPath) {
  if (!certPath && !keyPath) return null;
  if (!certPath || !keyPath) {
    throw new Error(`${certPath ? 'TLS_KEY' : 'TLS_CERT'} is missing: set both TLS_CERT and TLS_KEY, or neither`);
  }
  const pair = { cert: readPem('TLS_CERT', certPath), key: readPem('TLS_KEY', keyPath) };
  try {
    // OpenSSL finds here that a file is no PEM, or that the key belongs to another certificate.
    tls.createSecureContext(pair);
  } catch (error) {
    throw new Error(`TLS_CERT and TLS_KEY are no usable pair: ${error.message}`, { cause: error });
  }
  return pair;
}

function readPem(name, path) {
  try {
    return fs.readFileSync(path);
  } catch (error) {
    throw new Error(`${name} cannot be read: ${error.message}`, { cause: error });
  }
}

module.exports = { readDatabaseFile, readSecret, readSettings };
