// Creates the database of DATABASE_URL and its table, and exits. An empty garden needs no rows.
'use strict';

const { openDatabase } = require('./database');
const { readDatabaseFile } = require('./settings');

try {
  openDatabase(readDatabaseFile(process.env)).close();
} catch (error) {
  console.error(`garden: ${error.message}`);
  process.exit(1);
}
