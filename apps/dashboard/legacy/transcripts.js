// Finds all transcripts, every *.jsonl of every project directory, and reads them. What they mean is in usage.js.
'use strict';

const { readFileSync } = require('node:fs');
const fs = require('node:fs/promises');
const path = require('node:path');

// Returns [{ name, path, files }] in the byte order of the names, in which Node lists a directory. Whatever is there and
// cannot be read fails the whole.
async function listTranscripts(folder) {
  const projects = await Promise.all((await names(folder)).map((name) => listProject(path.join(folder, name), name)));
  return projects.filter((project) => project !== null);
}

async function names(folder) {
  try {
    return await fs.readdir(folder);
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

async function listProject(folder, name) {
  if (!(await fs.stat(folder)).isDirectory()) return null;
  const files = (await fs.readdir(folder)).filter((file) => file.endsWith('.jsonl'));
  return { name, path: folder, files: files.map((file) => path.join(folder, file)) };
}

// One file after the other, with nothing in between: every other request waits until the last of them is parsed, as in
// the original.
function readTranscript(file) {
  return readFileSync(file, 'utf8');
}

module.exports = { listTranscripts, readTranscript };
