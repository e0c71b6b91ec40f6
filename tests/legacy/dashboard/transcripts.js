// Reads the text of all transcripts: every *.jsonl of every project directory. What they mean is in usage.js.
'use strict';

const fs = require('node:fs/promises');
const path = require('node:path');

// Returns [{ name, path, texts }] in the byte order of the names, in which Node lists a directory. Whatever is there
// and cannot be read fails the whole.
async function readTranscripts(folder) {
  const projects = await Promise.all((await names(folder)).map((name) => readProject(path.join(folder, name), name)));
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

async function readProject(folder, name) {
  if (!(await fs.stat(folder)).isDirectory()) return null;
  const texts = [];
  for (const file of await fs.readdir(folder)) {
    if (file.endsWith('.jsonl')) texts.push(await fs.readFile(path.join(folder, file), 'utf8'));
  }
  return { name, path: folder, texts };
}

module.exports = { readTranscripts };
