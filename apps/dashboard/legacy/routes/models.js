// GET /api/v2/models: usage by model.
'use strict';

const express = require('express');

const { answering, compare, readSorting, sumCosts } = require('../parameters');
const { loadUsage } = require('../process');

const KEYS = {
  totalTokens: (row) => row.totalTokens,
  cost: (row) => parseFloat(row.cost),
  messages: (row) => row.messages,
  sessions: (row) => row.sessions,
  model: (row) => row.model.toLowerCase(),
};

function serveModels(settings, cache) {
  const router = express.Router();

  router.get('/', answering(async (request, response) => {
    const { sortBy, sortOrder, refusal } = readSorting(request.query, Object.keys(KEYS));
    if (refusal) return response.status(400).json(refusal);

    const key = `models_${sortBy}_${sortOrder}`;
    const cached = cache.get(key);
    if (cached) return response.json(cached);

    const { models } = await loadUsage(settings);
    models.sort(compare(KEYS[sortBy], sortOrder));
    const answer = { data: models, stats: summarize(models) };
    cache.set(key, answer);
    return response.json(answer);
  }));

  return router;
}

function summarize(models) {
  const sum = (name) => models.reduce((total, row) => total + row[name], 0);
  return {
    totalModels: models.length,
    totalTokens: sum('totalTokens'),
    totalCost: sumCosts(models.map(({ cost }) => cost)),
    totalMessages: sum('messages'),
    totalSessions: sum('sessions'),
    // The first row, whatever the rows are sorted by.
    mostUsedModel: models.length > 0 ? models[0].model : null,
  };
}

module.exports = { serveModels };
