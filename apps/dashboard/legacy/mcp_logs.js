// Finds and reads the MCP logs, at most every five minutes.
'use strict';

const fs = require('node:fs/promises');
const path = require('node:path');

const { glob } = require('glob');

const CACHE_KEY = 'mcp_files';

// Returns [{ file, path, project, sessionId, size, modified, entries }] in the order in which the tree is walked; a log that
// cannot be read has `error` instead of `project` and `sessionId`.
async function readMcpLogs(settings, cache) {
  const cached = cache.get(CACHE_KEY);
  if (cached) return cached;
  const found = await glob('**/mcp-logs-ide/*.txt', { cwd: settings.places.mcpLogs, nodir: true });
  const logs = await Promise.all(found.sort(walkOrder).map((name) => readLog(path.join(settings.places.mcpLogs, name))));
  cache.set(CACHE_KEY, logs);
  return logs;
}

// `glob` walks level by level and turns the names of each directory around. Which directory of a level it finishes
// first is a matter of chance though, where this order is not.
function walkOrder(a, b) {
  const [left, right] = [a.split(path.sep), b.split(path.sep)];
  if (left.length !== right.length) return left.length - right.length;
  const differing = left.findIndex((name, index) => name !== right[index]);
  return Buffer.compare(Buffer.from(right[differing]), Buffer.from(left[differing]));
}

async function readLog(filePath) {
  try {
    const [{ size, mtime }, text] = await Promise.all([fs.stat(filePath), fs.readFile(filePath, 'utf8')]);
    return {
      file: path.basename(filePath),
      path: filePath,
      project: path.basename(path.dirname(path.dirname(filePath))),
      sessionId: path.basename(filePath, '.txt'),
      size,
      modified: mtime,
      entries: parseEntries(text),
    };
  } catch (error) {
    console.warn(`dashboard: an MCP log cannot be read: ${error.message}`);
    // It is listed without a session, as one of now.
    return { file: path.basename(filePath), path: filePath, size: 0, modified: new Date(), entries: [], error: error.message };
  }
}

// A JSON array, whatever it holds, or else what each line holds; lines that are no JSON, or falsy, are dropped.
function parseEntries(text) {
  const whole = parse(text);
  return Array.isArray(whole) ? whole : text.trim().split('\n').map(parse).filter(Boolean);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

module.exports = { readMcpLogs };
