// One row a player: the four parts of the state, each as the JSON text in which the client sent it. Nothing is printed
// anew, so a player gets back the very numbers and key orders that were saved, whichever program reads the row.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const SqliteFile = require('libsql');

const SCHEMA = `CREATE TABLE IF NOT EXISTS game_states (
  user_id TEXT PRIMARY KEY,
  resources TEXT NOT NULL,
  celestial_bodies TEXT NOT NULL,
  research TEXT NOT NULL,
  statistics TEXT NOT NULL
)`;

const LOAD = 'SELECT resources, celestial_bodies, research, statistics FROM game_states WHERE user_id = ?';

const SAVE = `INSERT INTO game_states (user_id, resources, celestial_bodies, research, statistics) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (user_id) DO UPDATE SET resources = excluded.resources, celestial_bodies = excluded.celestial_bodies,
    research = excluded.research, statistics = excluded.statistics`;

// One statement, so that bodies which two processes create at once are both kept. An empty array is always `[]`.
const APPEND = `INSERT INTO game_states (user_id, resources, celestial_bodies, research, statistics)
  VALUES (?, '{}', '[' || ? || ']', '{}', '{}')
  ON CONFLICT (user_id) DO UPDATE SET celestial_bodies =
    CASE celestial_bodies WHEN '[]' THEN excluded.celestial_bodies
    ELSE substr(celestial_bodies, 1, length(celestial_bodies) - 1) || ',' || substr(excluded.celestial_bodies, 2) END
  RETURNING resources, celestial_bodies, research, statistics`;

const EMPTY = { resources: '{}', celestial_bodies: '[]', research: '{}', statistics: '{}' };

const WAL_ATTEMPTS = 50;

// `file` is relative to the working directory; its folder and the table are made where they are missing.
function openDatabase(file) {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const sqlite = new SqliteFile(file);
    sqlite.exec('PRAGMA busy_timeout = 5000');
    useWal(sqlite);
    sqlite.exec(SCHEMA);
    return new Database(sqlite);
  } catch (error) {
    throw new Error(`DATABASE_URL cannot be opened: ${error.message}`, { cause: error });
  }
}

// All calls are synchronous, as libsql is. States are { resources, celestial_bodies, research, statistics }, JSON texts.
class Database {
  constructor(sqlite) {
    this.sqlite = sqlite;
    this.statements = { load: sqlite.prepare(LOAD), save: sqlite.prepare(SAVE), append: sqlite.prepare(APPEND) };
  }

  // `all` is used where one row is wanted, because libsql's `get` adds a `_metadata` key to it.
  load(user) {
    return this.statements.load.all([user])[0] ?? EMPTY;
  }

  save(user, { resources, celestial_bodies: bodies, research, statistics }) {
    this.statements.save.run([user, resources, bodies, research, statistics]);
  }

  // Returns the state with the body at the end of its celestial bodies.
  append(user, body) {
    return this.statements.append.all([user, body])[0];
  }

  close() {
    this.sqlite.close();
  }
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

module.exports = { openDatabase };
