// GET /api/v2/mcp/logs, /api/v2/mcp/tools and /api/v2/mcp/tools/:toolName: which tools an editor was asked for.
'use strict';

const express = require('express');

const { readMcpLogs } = require('./mcp_logs');
const { answering, paginate, readPaging, refusal } = require('./parameters');

const PAGING = { limit: 50, largestLimit: 500 };
const MOST_RELATED = 20;
const CALLING = 'Calling MCP tool:';
// Where `.` of a regular expression stops.
const LINE_ENDS = /[\n\r\u2028\u2029]/;

function serveMcp(settings, cache) {
  const router = express.Router();

  router.get('/logs', answering(async (request, response) => {
    const paging = readPaging(request.query, PAGING);
    if (paging.refusal) return response.status(400).json(paging.refusal);

    const key = `mcp_logs_${paging.page}_${paging.limit}`;
    const cached = cache.get(key);
    if (cached) return response.json(cached);

    const logs = [...(await readMcpLogs(settings, cache))].sort((a, b) => b.modified - a.modified);
    const answer = paginate(logs.map(logRow), paging);
    cache.set(key, answer);
    return response.json(answer);
  }));

  const loadTools = async () => {
    const cached = cache.get('mcp_tools');
    if (cached) return cached;
    const answer = countTools(await readMcpLogs(settings, cache));
    cache.set('mcp_tools', answer);
    return answer;
  };

  router.get('/tools', answering(async (request, response) => response.json(await loadTools())));

  router.get('/tools/:toolName', answering(async (request, response) => {
    const { toolName } = request.params;
    const { tools, sessions } = await loadTools();
    const tool = tools.find(({ name }) => name === toolName);
    if (!tool) {
      return response.status(404).json(refusal('Tool not found', `No usage data found for tool: ${toolName}`));
    }
    const relatedSessions = sessions.filter((session) => session.tools[toolName]).slice(0, MOST_RELATED);
    return response.json({ tool, relatedSessions });
  }));

  return router;
}

function logRow({ file, path, modified, size, entries, sessionId, error }) {
  return { file, filePath: path, timestamp: modified, size, entries: entries.length, sessionId, error };
}

// First and last are so in the order of the files, not of time.
function countTools(logs) {
  const tools = new Map();
  const sessions = [];
  for (const log of logs) {
    const session = { tools: {}, startTime: null, endTime: null, cwd: null };
    for (const entry of log.entries) {
      try {
        addEntry(tools, session, entry);
      } catch {
        // An entry that throws, such as null, ends there.
      }
    }
    const used = Object.keys(session.tools);
    if (used.length > 0) sessions.push(sessionRow(log, session));
    // Keys are texts: a tool that is named by a number is not found.
    for (const name of used) if (tools.has(name)) tools.get(name).sessionCount += 1;
  }
  const rows = [...tools.values()];
  return {
    totalCalls: rows.reduce((sum, { count }) => sum + count, 0),
    uniqueTools: rows.length,
    tools: rows.sort((a, b) => b.count - a.count),
    sessions: sessions.sort((a, b) => new Date(b.startTime) - new Date(a.startTime)),
  };
}

// Times and the directory are those of any entry, also of one that calls nothing.
function addEntry(tools, session, entry) {
  if (entry.timestamp) {
    session.startTime ||= entry.timestamp;
    session.endTime = entry.timestamp;
  }
  const name = toolOf(entry);
  if (name) {
    session.tools[name] = (session.tools[name] || 0) + 1;
    const { timestamp } = entry;
    if (!tools.has(name)) tools.set(name, { name, count: 0, sessionCount: 0, firstUsed: timestamp, lastUsed: timestamp });
    const tool = tools.get(name);
    tool.count += 1;
    tool.lastUsed = timestamp;
  }
  if (entry.params?.cwd) session.cwd = entry.params.cwd;
}

function toolOf(entry) {
  if (entry.method === 'tools/call' && entry.params?.name) return entry.params.name;
  // What is no text throws.
  if (!entry.debug || !entry.debug.startsWith(CALLING)) return null;
  const [line] = entry.debug.slice(CALLING.length).trimStart().split(LINE_ENDS);
  return line.trim();
}

function sessionRow({ sessionId, project, file }, { tools, startTime, endTime, cwd }) {
  return { sessionId, projectName: project, tools, startTime, endTime, cwd: cwd || project, file };
}

module.exports = { serveMcp };
