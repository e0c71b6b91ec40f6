// The queries of the time card, over SQLite or MariaDB as the scheme of DATABASE_URL says.
// What differs between the two stands in sqlite.js and mariadb.js; the tables are in schema.js.
'use strict';

const { connectMariadb } = require('./mariadb');
const { createTables } = require('./schema');
const { connectSqlite } = require('./sqlite');

// Connects and creates the tables that are missing. An error names no password, only what the driver said.
async function openDatabase(url) {
  try {
    const connection = connect(url);
    await connection.exclusively((run) => createTables(run, connection.dialect));
    return new Database(connection);
  } catch (error) {
    // A refused `localhost` is an AggregateError (IPv4 and IPv6) whose message is empty.
    throw new Error(`DATABASE_URL cannot be opened: ${error.message || error.code}`, { cause: error });
  }
}

class Database {
  constructor(connection) {
    this.connection = connection;
  }

  // `id` is the employee number as text, or null for a card that nobody has registered.
  icLog() {
    return this.connection.run(
      `SELECT iid AS id, date AS datetime, machine_ip FROM ic_log WHERE date >= ${this.twoDaysAgo} ` +
        'ORDER BY date ASC, ic_log.id ASC',
    );
  }

  // Here `id` is a number.
  fingerLog() {
    return this.connection.run(
      `SELECT id, date AS datetime, machine_ip FROM finger_log WHERE date >= ${this.twoDaysAgo} ` +
        'ORDER BY date ASC, id ASC, machine_ip ASC',
    );
  }

  drivers() {
    return this.connection.run('SELECT id, name FROM drivers ORDER BY id');
  }

  // Undefined when there is no such driver. Text is bound as text: that "1021" finds 1021 is a coercion of SQL.
  async driver(id) {
    const rows = await this.connection.run('SELECT id, name FROM drivers WHERE id = ?', [id]);
    return rows[0];
  }

  close() {
    this.connection.close();
  }

  get twoDaysAgo() {
    return this.connection.dialect.twoDaysAgo;
  }
}

function connect(url) {
  if (url.startsWith('sqlite:')) return connectSqlite(url.slice('sqlite:'.length));
  if (url.startsWith('mysql://')) return connectMariadb(url);
  // The URL may hold a password, so the message does not repeat it.
  throw new Error('it must begin with `sqlite:` or `mysql://`');
}

module.exports = { openDatabase };
