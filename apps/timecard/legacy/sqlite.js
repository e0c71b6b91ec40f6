// SQLite through libsql, whose calls are synchronous. They are wrapped in promises to look like MariaDB's.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const SqliteFile = require('libsql');

const DIALECT = {
  tableOptions: '',
  time: 'TEXT',
  bytes: 'BLOB',
  serialKey: 'INTEGER PRIMARY KEY',
  now: "datetime('now', 'localtime')",
  twoDaysAgo: "datetime('now','localtime','-2 days')",
};

const WAL_ATTEMPTS = 50;

// `file` is relative to the working directory; its folder is made.
function connectSqlite(file) {
  if (!file) throw new Error('the path after `sqlite:` is missing');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const sqlite = new SqliteFile(file);
  sqlite.exec('PRAGMA busy_timeout = 5000');
  useWal(sqlite);

  // `all` is used even where one row is wanted, because libsql's `get` adds a `_metadata` key to it.
  const run = async (sql, values = []) => sqlite.prepare(sql).all(values);
  const exclusively = async (work) => {
    // IMMEDIATE takes the write lock now; a plain BEGIN could fail later, when two processes both want to write.
    sqlite.exec('BEGIN IMMEDIATE');
    try {
      await work(run);
      sqlite.exec('COMMIT');
    } catch (error) {
      sqlite.exec('ROLLBACK');
      throw error;
    }
  };
  return { dialect: DIALECT, run, exclusively, close: () => sqlite.close() };
}

// SQLite does not apply the busy timeout to the change into WAL, so two processes that start at once need a retry.
function useWal(sqlite) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      sqlite.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (attempt === WAL_ATTEMPTS || !/locked|busy/i.test(error.message)) throw error;
      // Nothing else runs in this process yet, so a blocking sleep does no harm.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
}

module.exports = { connectSqlite };
