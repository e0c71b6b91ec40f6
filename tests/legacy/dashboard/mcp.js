// GET /api/v2/mcp/logs, /api/v2/mcp/tools and /api/v2/mcp/tools/:toolName: which tools an editor was asked for.
'use strict';

const express = require('express');

const { readMcpLogs } = require('./mcp_logs');
const { answering, paginate, readPaging, refusal } = require('./parameters');

const PAGING = { limit: 50, largestLimit: 500 };
const MOST_RELATED = 20;
const CALLING = 'Calling MCP tool:';

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

function logRow({ file, path, modified, size, entries, sessionId }) {
  return { file, filePath: path, timestamp: modified, size, entries: entries.length, sessionId };
}

// First and last are so in the order of the files, not of time.
function countTools(logs) {
  const tools = new Map();
  const sessions = new Map();
  let totalCalls = 0;
  for (const log of logs) {
    for (const entry of log.entries) {
      const name = toolOf(entry);
      if (!name) continue;
      totalCalls += 1;
      addCall(tools, name, entry, log);
      addToSession(sessions, name, entry, log);
    }
  }
  return {
    totalCalls,
    uniqueTools: tools.size,
    tools: [...tools.values()]
      .map(({ name, count, sessionIds, firstUsed, lastUsed }) => ({
        name,
        count,
        sessionCount: sessionIds.size,
        firstUsed,
        lastUsed,
      }))
      .sort((a, b) => b.count - a.count),
    sessions: [...sessions.values()].sort((a, b) => new Date(b.startTime) - new Date(a.startTime)),
  };
}

function toolOf(entry) {
  if (entry.method === 'tools/call' && entry.params && entry.params.name) return entry.params.name;
  if (typeof entry.debug === 'string' && entry.debug.startsWith(CALLING)) return entry.debug.slice(CALLING.length).trim();
  return null;
}

function addCall(tools, name, { timestamp }, { sessionId }) {
  if (!tools.has(name)) tools.set(name, { name, count: 0, sessionIds: new Set(), firstUsed: timestamp });
  const tool = tools.get(name);
  tool.count += 1;
  tool.sessionIds.add(sessionId);
  tool.lastUsed = timestamp;
}

function addToSession(sessions, name, { timestamp, params }, { sessionId, project, file }) {
  if (!sessions.has(sessionId)) {
    sessions.set(sessionId, {
      sessionId,
      projectName: project,
      tools: {},
      startTime: timestamp,
      endTime: timestamp,
      cwd: (params && params.cwd) || project,
      file,
    });
  }
  const session = sessions.get(sessionId);
  session.tools[name] = (session.tools[name] || 0) + 1;
  session.endTime = timestamp;
}

module.exports = { serveMcp };
