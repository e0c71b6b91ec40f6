// MariaDB through a pool of mysql2, which reconnects by itself after the database was away.
'use strict';

const mysql = require('mysql2/promise');

const DIALECT = {
  tableOptions: ' DEFAULT CHARSET = utf8mb4',
  time: 'DATETIME',
  bytes: 'LONGBLOB',
  serialKey: 'INTEGER AUTO_INCREMENT PRIMARY KEY',
  now: 'NOW()',
  twoDaysAgo: 'NOW() - INTERVAL 2 DAY',
};

// `url` is mysql://user:pass@host:port/db.
function connectMariadb(url) {
  if (new URL(url).pathname.length < 2) throw new Error('the name of the database is missing');
  // The API promises times as the text that the database has, so they must never become a Date.
  const pool = mysql.createPool({ uri: url, charset: 'utf8mb4', dateStrings: true });

  const exclusively = async (work) => {
    const connection = await pool.getConnection();
    try {
      // A named lock, since no row exists yet that two starting processes could lock. It ends with the connection too.
      await connection.query("SELECT GET_LOCK(CONCAT('timecard ', DATABASE()), 30)");
      await connection.beginTransaction();
      await work((sql, values) => execute(connection, sql, values));
      await connection.commit();
      await connection.query("SELECT RELEASE_LOCK(CONCAT('timecard ', DATABASE()))");
      connection.release();
    } catch (error) {
      // Destroying the connection rolls back and frees the lock, whatever state it is in.
      connection.destroy();
      throw error;
    }
  };
  return {
    dialect: DIALECT,
    run: (sql, values) => execute(pool, sql, values),
    exclusively,
    close: () => pool.end().catch(() => {}),
  };
}

// Prepared on the server: `query` would instead build SQL text here, and expand an object into conditions.
async function execute(connection, sql, values = []) {
  const [rows] = await connection.execute(sql, values);
  return rows;
}

module.exports = { connectMariadb };
