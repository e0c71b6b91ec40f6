// Believable data for an empty database: drivers, their cards, and five days of punches before now.
// The rows depend on nothing but the clock. `node seed.js` creates and fills the database, and exits.
'use strict';

const { openDatabase } = require('./database');
const { cardOf, DRIVERS, FOREIGN_CARDS } = require('./drivers');
const { readDatabaseUrl } = require('./settings');

const DAYS = 5;
const DAY_MS = 24 * 3600 * 1000;
const WINDOW_MS = 2 * DAY_MS;
const CALM_MS = 3600 * 1000;

const READERS = Array.from({ length: 13 }, (_, index) => `172.18.21.${101 + index}`);

// Does nothing if there are drivers already. Two processes that start at once are let in one after the other.
async function seed(database) {
  const { dialect, exclusively } = database.connection;
  await exclusively(async (run) => {
    const [{ drivers }] = await run('SELECT COUNT(*) AS drivers FROM drivers');
    if (Number(drivers) > 0) return;
    // The database tells the time, since the window of the API is measured by its clock. The columns hold wall-clock
    // text without a zone, which is calculated with here as if it were UTC.
    const [{ now }] = await run(`SELECT ${dialect.now} AS now`);
    for (const [table, rows] of Object.entries(tables(Date.parse(`${now.replace(' ', 'T')}Z`)))) {
      await insert(run, table, rows);
    }
  });
}

function tables(now) {
  const punches = punchesBefore(now);
  const registered = asText(now - 30 * DAY_MS);
  return {
    drivers: DRIVERS,
    ic_id: DRIVERS.map(({ id }) => ({ ic_id: cardOf(id), emp_id: id, deleted: 0, date: registered })),
    ic_non_reged: FOREIGN_CARDS.map((id, index) => ({
      id, datetime: asText(now - (index + 1) * 600 * 1000), deleted: 0, registered_id: null,
    })),
    ic_log: punches.map((punch, index) => ({
      id: index + 1, type: punch.type, detail: punch.card, date: asText(punch.time), iid: punch.iid,
      machine_ip: punch.reader,
    })),
    finger_log: punches.filter((punch) => punch.finger).map((punch) => ({
      date: asText(punch.time), machine_ip: punch.reader, id: punch.driver, message: punch.type,
    })),
  };
}

// Every second driver comes in at the same second as the one before, at another reader, so that the order of equal
// times matters. The readers deliver one after the other, so ids do not follow the time either.
function punchesBefore(now) {
  const midnight = now - (now % DAY_MS);
  const punches = [];
  for (let day = DAYS - 1; day >= 0; day -= 1) {
    DRIVERS.forEach(({ id }, index) => {
      if ((index + day) % 5 === 0) return;
      const late = Math.floor(index / 2) * 211;
      const foreign = (index + day) % 17 === 3;
      for (const [type, hour] of [['in', 6], ['out', 16]]) {
        const time = midnight - day * DAY_MS + (hour * 3600 + late) * 1000;
        punches.push({
          time, type, driver: id, reader: READERS[(index * 5 + day) % READERS.length], finger: index % 3 === 0,
          iid: foreign ? null : String(id),
          card: foreign ? FOREIGN_CARDS[index % FOREIGN_CARDS.length] : cardOf(id),
        });
      }
    });
    // One finger on two readers at once: only the address of the reader is left to order these by.
    const twice = punches.at(-1);
    punches.push({ ...twice, finger: true, reader: READERS[12] }, { ...twice, finger: true, reader: READERS[0] });
  }
  return punches.filter(({ time }) => isSeeded(now - time)).sort((a, b) => byDayAndReader(a, b));
}

// The hour that leaves the two-day window next stays empty. Two answers that are compared would otherwise differ
// whenever a punch drops out between them.
function isSeeded(age) {
  return age >= 0 && !(age > WINDOW_MS - CALM_MS && age <= WINDOW_MS);
}

function byDayAndReader(a, b) {
  const days = Math.floor(a.time / DAY_MS) - Math.floor(b.time / DAY_MS);
  return days || READERS.indexOf(a.reader) - READERS.indexOf(b.reader);
}

function asText(time) {
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ');
}

async function insert(run, table, rows) {
  if (rows.length === 0) return;
  const columns = Object.keys(rows[0]);
  const marks = rows.map(() => `(${columns.map(() => '?').join(', ')})`).join(', ');
  await run(`INSERT INTO ${table} (${columns.join(', ')}) VALUES ${marks}`, rows.flatMap((row) => Object.values(row)));
}

async function main() {
  const database = await openDatabase(readDatabaseUrl(process.env));
  await seed(database);
  database.close();
}

if (require.main === module) {
  main().catch((error) => {
    console.error(`timecard: ${error.message}`);
    process.exit(1);
  });
}

module.exports = { seed };
