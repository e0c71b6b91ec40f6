// The processed data: from the transcripts, or from the program that PROCESSOR names, which was the first step of the
// migration. Run as `node process.js --home DIR` it prints what such a program prints to `process --home DIR`.
//
// {"detailed":[…],"days":[…],"months":[…],"models":[…],"projects":[…],"conversations":N}
// detailed  {"time","sessionId","inputTokens","outputTokens","cachedTokens","totalTokens","cost","newInputTokens",
//           "cacheCreationTokens","cacheReadTokens"} for each usage entry with a timestamp, in order of time, equal times
//           as they were read (names of projects and of files in byte order, lines). `time` is in milliseconds, null
//           where the timestamp is none: those come last. `sessionId` is the value of the line, absent where it is.
// days, months, models, projects
//           the rows of the list endpoints: by date, by month, by falling totalTokens (equal ones as first seen), by name.
//           `lastActivity` of a project that is an invalid date is "Invalid Date".
// conversations  how many different sessions the days hold
// A number that is not finite is "NaN", "Infinity" or "-Infinity". Where the data cannot be read: one line on stderr,
// exit code 1.
'use strict';

const { execFile } = require('node:child_process');
const { promisify, parseArgs } = require('node:util');

const { places } = require('./settings');
const { listTranscripts } = require('./transcripts');
const { processTranscripts } = require('./usage');

const LARGEST_OUTPUT_BYTES = 1024 ** 3;
const NOT_FINITE = { NaN, Infinity, '-Infinity': -Infinity };

async function loadUsage(settings) {
  if (!settings.processor) return processTranscripts(await listTranscripts(settings.places.projects));
  const { stdout } = await promisify(execFile)(
    settings.processor,
    ['process', '--home', settings.places.home],
    { maxBuffer: LARGEST_OUTPUT_BYTES },
  );
  return fromText(stdout);
}

function toText(usage) {
  const detailed = usage.detailed.map((entry) => ({ ...entry, time: Number.isNaN(entry.time) ? null : entry.time }));
  const projects = usage.projects.map((project) => ({ ...project, lastActivity: activityText(project.lastActivity) }));
  const isFinite = (value) => typeof value !== 'number' || Number.isFinite(value);
  return JSON.stringify({ ...usage, detailed, projects }, (key, value) => (isFinite(value) ? value : String(value)));
}

function activityText(time) {
  if (time === null) return null;
  return Number.isNaN(time.getTime()) ? 'Invalid Date' : time.toISOString();
}

function fromText(text) {
  const usage = JSON.parse(text);
  for (const entry of usage.detailed) {
    // `new Date(null)` would be 1970.
    if (entry.time === null) entry.time = NaN;
    reviveNumbers(entry, ['cost']);
  }
  for (const rows of [usage.days, usage.months, usage.models, usage.projects]) rows.forEach((row) => reviveNumbers(row));
  for (const project of usage.projects) {
    if (project.lastActivity !== null) project.lastActivity = new Date(project.lastActivity);
  }
  return usage;
}

function reviveNumbers(row, names = []) {
  for (const name of [...names, ...Object.keys(row).filter((key) => key.endsWith('Tokens'))]) {
    if (Object.hasOwn(NOT_FINITE, row[name])) row[name] = NOT_FINITE[row[name]];
  }
}

async function main() {
  const { values } = parseArgs({ options: { home: { type: 'string' } } });
  if (!values.home) throw new Error('--home DIR is missing');
  process.stdout.write(`${toText(processTranscripts(await listTranscripts(places(values.home).projects)))}\n`);
}

if (require.main === module) {
  main().catch((error) => {
    console.error(`dashboard: ${error.message}`);
    process.exitCode = 1;
  });
}

module.exports = { loadUsage };
