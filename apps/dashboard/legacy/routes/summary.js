// GET /api/v2/summary: what there is in all. Computed anew for each request; only the MCP logs come from the cache.
'use strict';

const fs = require('node:fs/promises');
const path = require('node:path');

const express = require('express');

const { readMcpLogs } = require('../mcp_logs');
const { answering, sumCosts } = require('../parameters');
const { loadUsage } = require('../process');

function serveSummary(settings, cache) {
  const router = express.Router();

  router.get('/', answering(async (request, response) => {
    const [logs, todos, tasks, usage] = await Promise.all([
      readMcpLogs(settings, cache),
      listTodos(settings.places.todos),
      countTasks(settings.places.tasks),
      loadUsage(settings),
    ]);
    const sum = (rows, name) => rows.reduce((total, row) => total + row[name], 0);
    const newest = newestOf(logs) || newestOf(todos);
    response.json({
      totalMcpSessions: logs.length,
      totalTodoFiles: todos.length,
      totalVsCodeTasks: tasks,
      totalSize: sum(logs, 'size') + sum(todos, 'size'),
      totalMessages: sum(usage.months, 'messages'),
      totalConversations: usage.conversations,
      totalTokens: sum(usage.days, 'totalTokens'),
      totalCost: sumCosts(usage.days.map(({ cost }) => cost)),
      // Of files, not of usage.
      lastActivity: newest ? newest.modified : null,
    });
  }));

  return router;
}

function newestOf(files) {
  return files.reduce((newest, file) => (newest && newest.modified >= file.modified ? newest : file), null);
}

// What a todo file holds does not matter here.
async function listTodos(folder) {
  const names = (await entriesOf(folder)).map(({ name }) => name).filter((name) => name.endsWith('.json'));
  return Promise.all(names.map(async (name) => {
    const { size, mtime } = await fs.stat(path.join(folder, name));
    return { size, modified: mtime };
  }));
}

async function countTasks(folder) {
  return (await entriesOf(folder)).filter((entry) => entry.isDirectory()).length;
}

async function entriesOf(folder) {
  try {
    return await fs.readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

module.exports = { serveSummary };
