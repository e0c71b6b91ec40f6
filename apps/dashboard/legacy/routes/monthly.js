// GET /api/v2/monthly and /api/v2/monthly/:month: usage by month, in the time zone of the server.
'use strict';

const express = require('express');

const { answering, paginate, readPaging, refusal } = require('../parameters');
const { loadUsage } = require('../process');

const PAGING = { limit: 12, largestLimit: 120 };

function serveMonthly(settings, cache) {
  const router = express.Router();

  router.get('/', answering(async (request, response) => {
    const { year } = request.query;
    const paging = readPaging(request.query, PAGING);
    if (paging.refusal) return response.status(400).json(paging.refusal);
    if (year && (isNaN(year) || year < 2020 || year > 2030)) {
      return response.status(400).json(refusal('Invalid year parameter', 'Year must be between 2020 and 2030'));
    }

    const key = `monthly_${paging.page}_${paging.limit}_${year || 'all'}`;
    const cached = cache.get(key);
    if (cached) return response.json(cached);

    const { months } = await loadUsage(settings);
    // As text: `2025.5` is a valid year without months.
    const answer = paginate(year ? months.filter(({ month }) => month.startsWith(year)) : months, paging);
    cache.set(key, answer);
    return response.json(answer);
  }));

  router.get('/:month', answering(async (request, response) => {
    const { month } = request.params;
    if (!/^\d{4}-\d{2}$/.test(month)) {
      return response.status(400).json(refusal('Invalid month format', 'Month must be in YYYY-MM format'));
    }
    const { months } = await loadUsage(settings);
    const found = months.find((row) => row.month === month);
    return found
      ? response.json(found)
      : response.status(404).json(refusal('Data not found', `No usage data found for ${month}`));
  }));

  return router;
}

module.exports = { serveMonthly };
