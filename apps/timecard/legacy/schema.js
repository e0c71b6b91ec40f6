// The tables of the original, for both databases. Columns that its documentation does not name are a guess.
// `dialect` supplies the types and the table options that SQLite and MariaDB spell differently.
'use strict';

async function createTables(run, dialect) {
  for (const [name, columns] of Object.entries(tables(dialect))) {
    await run(`CREATE TABLE IF NOT EXISTS ${name} (${columns})${dialect.tableOptions}`);
  }
}

function tables({ time, bytes, serialKey }) {
  // Key columns have a length because MariaDB cannot index a whole TEXT.
  return {
    drivers: 'id INTEGER PRIMARY KEY, name TEXT',
    ic_id: `ic_id VARCHAR(64) PRIMARY KEY, emp_id INTEGER, deleted INTEGER NOT NULL DEFAULT 0, date ${time}`,
    ic_log: `id ${serialKey}, type TEXT, detail TEXT, date ${time}, iid TEXT, machine_ip TEXT`,
    ic_non_reged:
      `id VARCHAR(64) PRIMARY KEY, datetime ${time}, deleted INTEGER NOT NULL DEFAULT 0, registered_id INTEGER`,
    finger_log: `date ${time}, machine_ip TEXT, id INTEGER, message TEXT`,
    tmp_data: `machine_ip TEXT, tmp REAL, amb REAL, dist REAL, date ${time}, id INTEGER`,
    pic_data: `date ${time}, cam TEXT, pic ${bytes}, detail TEXT, machine_ip TEXT`,
    vapidkey: 'publicKey TEXT, privateKey TEXT, uuid VARCHAR(64) PRIMARY KEY',
    // The misspelled column is the original's.
    test: `id ${serialKey}, datettime ${time}`,
    log: `id ${serialKey}, date ${time}, machine_ip TEXT, message TEXT`,
    user_finger_data: `id ${serialKey}, emp_id INTEGER, data ${bytes}, date ${time}`,
    user_finger_ids: `finger_id INTEGER PRIMARY KEY, emp_id INTEGER, date ${time}`,
  };
}

module.exports = { createTables };
