// Reads the environment once, at start, and refuses what cannot work with one clear line.
// An empty variable counts as unset, since that is how shells and unit files spell "default".
'use strict';

const fs = require('node:fs');
const tls = require('node:tls');

const DEFAULT_DATABASE_URL = 'sqlite:data/timecard.db';

// Returns { host, port, tls: { cert, key } | null, databaseUrl }.
function readSettings(environment) {
  return {
    host: environment.HOST || '127.0.0.1',
    port: readPort(environment.PORT || '3051'),
    tls: readTls(environment.TLS_CERT, environment.TLS_KEY),
    databaseUrl: readDatabaseUrl(environment),
  };
}

function readDatabaseUrl(environment) {
  return environment.DATABASE_URL || DEFAULT_DATABASE_URL;
}

function readPort(text) {
  const port = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(port <= 65535)) throw new Error(`PORT must be a number from 0 to 65535, not \`${text}\``);
  return port;
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

module.exports = { readDatabaseUrl, readSettings };
