// GET /api/v2/hourly: usage by hour of the day in the time zone of the server, and by UTC date with that hour.
'use strict';

const express = require('express');

const { loadUsage } = require('../process');
const { addToBucket, newBucket } = require('../usage');

const HOURS = 24;

function serveHourly(settings, cache) {
  const router = express.Router();

  router.get('/', async (request, response) => {
    // The one endpoint that answers for its failures itself.
    try {
      response.json(await answerTo(request.query, settings, cache));
    } catch {
      response.status(500).json({ error: 'Failed to fetch hourly usage data' });
    }
  });

  return router;
}

async function answerTo({ date, startDate, endDate }, settings, cache) {
  const key = `hourly_${date || 'all'}_${startDate || ''}_${endDate || ''}`;
  const cached = cache.get(key);
  if (cached) return cached;

  const { detailed } = await loadUsage(settings);
  if (detailed.length === 0) return { hourlyData: [], heatmapData: [], statistics: null };
  // An entry without a valid time throws, whatever is asked for.
  const entries = detailed.map((entry) => {
    const time = new Date(entry.time);
    return { ...withoutNaN(entry), date: time.toISOString().split('T')[0], hour: time.getHours() };
  });
  const wanted = entries.filter((entry) => isWanted(entry.date, date, startDate, endDate));
  const hourlyData = sumHours(wanted);
  const answer = { hourlyData, heatmapData: sumCells(wanted), statistics: describe(hourlyData) };
  cache.set(key, answer);
  return answer;
}

// Texts are compared. A list is never equal to one, while `<` and `>` make a text of it.
function isWanted(date, only, first, last) {
  if (only && date !== only) return false;
  if (first && date < first) return false;
  return !(last && date > last);
}

// What is no number counts as 0 here, and nowhere else.
function withoutNaN(entry) {
  const zeroed = Object.entries(entry).filter(([, value]) => Number.isNaN(value)).map(([name]) => [name, 0]);
  return { ...entry, ...Object.fromEntries(zeroed) };
}

function sumHours(entries) {
  const buckets = Array.from({ length: HOURS }, newBucket);
  for (const entry of entries) {
    addToBucket(buckets[entry.hour], entry);
    // Also entries without a session: together they are one.
    buckets[entry.hour].sessions.add(entry.sessionId);
  }
  return buckets.map((bucket, hour) => ({
    hour,
    inputTokens: bucket.inputTokens,
    outputTokens: bucket.outputTokens,
    cachedTokens: bucket.cachedTokens,
    totalTokens: bucket.totalTokens,
    cost: bucket.cost,
    sessions: bucket.sessions.size,
    requests: bucket.messages,
    avgCostPerRequest: bucket.messages > 0 ? bucket.cost / bucket.messages : 0,
    avgTokensPerRequest: bucket.messages > 0 ? bucket.totalTokens / bucket.messages : 0,
  }));
}

function sumCells(entries) {
  const cells = new Map();
  for (const entry of entries) {
    const key = `${entry.date} ${entry.hour}`;
    if (!cells.has(key)) cells.set(key, { date: entry.date, hour: entry.hour, bucket: newBucket() });
    addToBucket(cells.get(key).bucket, entry);
  }
  return [...cells.values()]
    .sort((a, b) => (a.date === b.date ? a.hour - b.hour : a.date < b.date ? -1 : 1))
    .map(({ date, hour, bucket }) => ({
      date,
      hour,
      inputTokens: bucket.inputTokens,
      outputTokens: bucket.outputTokens,
      cachedTokens: bucket.cachedTokens,
      totalTokens: bucket.totalTokens,
      cost: bucket.cost,
      requests: bucket.messages,
    }));
}

function describe(hours) {
  const sum = (name, rows = hours) => rows.reduce((total, row) => total + row[name], 0);
  // Equal hours: the first.
  const peak = (name) => hours.reduce((highest, row) => (row[name] > highest[name] ? row : highest));
  const totals = { cost: sum('cost'), tokens: sum('totalTokens'), requests: sum('requests') };
  const share = (part, total) => (part / total) * 100;
  const [costly, talkative, busy] = [peak('cost'), peak('totalTokens'), peak('requests')];
  return {
    totalCost: totals.cost,
    totalTokens: totals.tokens,
    totalRequests: totals.requests,
    avgCostPerHour: totals.cost / HOURS,
    avgTokensPerHour: totals.tokens / HOURS,
    avgRequestsPerHour: totals.requests / HOURS,
    peakCostHour: { hour: costly.hour, cost: costly.cost, percentage: share(costly.cost, totals.cost) },
    peakTokenHour: {
      hour: talkative.hour,
      tokens: talkative.totalTokens,
      percentage: share(talkative.totalTokens, totals.tokens),
    },
    peakRequestHour: { hour: busy.hour, requests: busy.requests, percentage: share(busy.requests, totals.requests) },
    morningUsage: sum('cost', hours.slice(6, 12)),
    afternoonUsage: sum('cost', hours.slice(12, 18)),
    eveningUsage: sum('cost', hours.slice(18, 24)),
    nightUsage: sum('cost', hours.slice(0, 6)),
  };
}

module.exports = { serveHourly };
