// GET /api/v2/daily and /api/v2/daily/:date: usage by UTC day.
'use strict';

const express = require('express');

const { answering, paginate, readPaging, refusal } = require('../parameters');
const { loadUsage } = require('../process');
const { addToBucket, newBucket } = require('../usage');

const PAGING = { limit: 50, largestLimit: 1000 };

function serveDaily(settings, cache) {
  const router = express.Router();

  router.get('/', answering(async (request, response) => {
    const { startDate, endDate } = request.query;
    const paging = readPaging(request.query, PAGING);
    const hours = readHours(request.query);
    const refused = paging.refusal || hours.refusal;
    if (refused) return response.status(400).json(refused);

    // Hour 0 and an hour that is no number have the key of no hour at all, so that the first of them to come decides.
    const key = [
      'daily', paging.page, paging.limit, startDate || 'all', endDate || 'all', hours.first || 'all', hours.last || 'all',
    ].join('_');
    const cached = cache.get(key);
    if (cached) return response.json(cached);

    const usage = await loadUsage(settings);
    const rows = hours.areGiven ? sumHours(usage, hours) : usage.days;
    const answer = paginate(withinDates(rows, startDate, endDate), paging);
    cache.set(key, answer);
    return response.json(answer);
  }));

  router.get('/:date', answering(async (request, response) => {
    const { date } = request.params;
    if (Number.isNaN(new Date(date).getTime())) {
      return response.status(400).json(refusal('Invalid date format', 'Date must be in YYYY-MM-DD format'));
    }
    const { days } = await loadUsage(settings);
    const found = days.find((day) => day.date === date);
    return found
      ? response.json(found)
      : response.status(404).json(refusal('Data not found', `No usage data found for ${date}`));
  }));

  return router;
}

// An hour that is no number filters nothing, and still counts as given.
function readHours({ startHour, endHour }) {
  const first = startHour ? parseInt(startHour) : undefined;
  const last = endHour ? parseInt(endHour) : undefined;
  const isOutside = (hour) => hour < 0 || hour > 23;
  return {
    first,
    last,
    areGiven: first !== undefined || last !== undefined,
    refusal: isOutside(first) || isOutside(last)
      ? refusal('Invalid time range', 'Hours must be between 0 and 23')
      : null,
  };
}

// Rows of another shape: the cost is a number, and sessions are counted under another name. An entry without a valid
// time throws.
function sumHours({ days, detailed }, { first, last }) {
  const buckets = new Map(days.map(({ date }) => [date, newBucket()]));
  for (const entry of detailed) {
    const time = new Date(entry.time);
    const bucket = buckets.get(time.toISOString().split('T')[0]);
    const hour = time.getHours();
    if (hour < first || hour > last) continue;
    addToBucket(bucket, entry);
    if (entry.sessionId) bucket.sessions.add(entry.sessionId);
  }
  return [...buckets]
    .filter(([, bucket]) => bucket.messages > 0)
    .map(([date, { messages, sessions, ...sums }]) => ({ date, ...sums, sessionCount: sessions.size }));
}

// Compares points in time: a comparison with a date that cannot be read is false, and leaves nothing out.
function withinDates(rows, startDate, endDate) {
  const start = startDate ? new Date(startDate) : null;
  const end = endDate ? new Date(endDate) : null;
  return rows.filter(({ date }) => !(start && new Date(date) < start) && !(end && new Date(date) > end));
}

module.exports = { serveDaily };
