// Turns the lines of all transcripts into what the usage endpoints show: entries, days, months, models and projects.
// Every rule about odd lines is here, and follows from what JavaScript does with them.
'use strict';

const { costOf } = require('./prices');
const { readTranscript } = require('./transcripts');

// Takes the listed projects, and returns the processed data, see process.js for its parts.
function processTranscripts(projects) {
  const usage = { detailed: [], days: new Map(), months: new Map(), models: new Map(), projects: [] };
  for (const { name, path, files } of projects) {
    const project = { name, path, totalTokens: 0, cost: 0, messageCount: 0, lastActivity: null };
    usage.projects.push(project);
    for (const file of files) {
      for (const line of readTranscript(file).split('\n')) addLine(usage, project, line);
    }
  }
  return finish(usage);
}

function addLine(usage, project, line) {
  if (!line.trim()) return;
  // Whatever a line throws ends that line alone, and what it did before stays done.
  try {
    addEntry(usage, project, JSON.parse(line));
  } catch {
    // Not JSON, JSON without members, a timestamp that is none, or a model that is no text.
  }
}

function addEntry(usage, project, entry) {
  project.messageCount += 1;
  if (entry.timestamp) {
    const time = new Date(entry.timestamp);
    // Every comparison with an invalid date is false: where it is the first, it stays.
    if (!project.lastActivity || time > project.lastActivity) project.lastActivity = time;
  }
  if (!entry.message || !entry.message.usage) return;

  const { model } = entry.message;
  const metrics = measure(model, entry.message.usage);
  if (entry.timestamp) {
    const time = new Date(entry.timestamp);
    usage.detailed.push({ time: time.getTime(), sessionId: entry.sessionId, ...metrics });
    // Throws for an invalid date, so that the entry is in no sum, but stays in the detailed data.
    addTo(usage.days, time.toISOString().split('T')[0], metrics, entry.sessionId);
    addTo(usage.months, localMonth(time), metrics, entry.sessionId);
  }
  if (model) addTo(usage.models, model, metrics, entry.sessionId);
  project.totalTokens += metrics.totalTokens;
  project.cost += metrics.cost;
}

function measure(model, usage) {
  const newInputTokens = usage.input_tokens || 0;
  const outputTokens = usage.output_tokens || 0;
  const cacheReadTokens = usage.cache_read_input_tokens || 0;
  const cacheCreationTokens = usage.cache_creation_input_tokens || 0;
  const inputTokens = newInputTokens + cacheCreationTokens;
  const cachedTokens = cacheReadTokens;
  return {
    inputTokens,
    outputTokens,
    cachedTokens,
    totalTokens: inputTokens + cachedTokens + outputTokens,
    cost: costOf(model, { newInputTokens, cacheReadTokens, cacheCreationTokens, outputTokens }),
    newInputTokens,
    cacheCreationTokens,
    cacheReadTokens,
  };
}

function localMonth(time) {
  return `${time.getFullYear()}-${String(time.getMonth() + 1).padStart(2, '0')}`;
}

// A sum of metrics, with what else is counted. Also used by the endpoints that sum by the hour.
function newBucket() {
  return {
    inputTokens: 0,
    outputTokens: 0,
    cachedTokens: 0,
    totalTokens: 0,
    cost: 0,
    newInputTokens: 0,
    cacheCreationTokens: 0,
    cacheReadTokens: 0,
    messages: 0,
    sessions: new Set(),
  };
}

function addToBucket(bucket, metrics) {
  bucket.inputTokens += metrics.inputTokens;
  bucket.outputTokens += metrics.outputTokens;
  bucket.cachedTokens += metrics.cachedTokens;
  bucket.totalTokens += metrics.totalTokens;
  bucket.cost += metrics.cost;
  bucket.newInputTokens += metrics.newInputTokens;
  bucket.cacheCreationTokens += metrics.cacheCreationTokens;
  bucket.cacheReadTokens += metrics.cacheReadTokens;
  bucket.messages += 1;
}

function addTo(buckets, key, metrics, sessionId) {
  if (!buckets.has(key)) buckets.set(key, newBucket());
  const bucket = buckets.get(key);
  addToBucket(bucket, metrics);
  if (sessionId) bucket.sessions.add(sessionId);
}

function finish({ detailed, days, months, models, projects }) {
  const conversations = new Set();
  for (const { sessions } of days.values()) sessions.forEach((id) => conversations.add(id));
  const byKey = (buckets) => [...buckets].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    detailed: inOrderOfTime(detailed),
    days: byKey(days).map(([date, bucket]) => row({ date }, bucket, { sessions: bucket.sessions.size })),
    months: byKey(months).map(([month, bucket]) =>
      row({ month }, bucket, { sessions: bucket.sessions.size, messages: bucket.messages }),
    ),
    models: [...models]
      .map(([model, bucket]) => row({ model }, bucket, { messages: bucket.messages, sessions: bucket.sessions.size }))
      .sort((a, b) => b.totalTokens - a.totalTokens),
    projects: projects.map(({ name, path, totalTokens, cost, messageCount, lastActivity }) => ({
      name,
      path,
      totalTokens,
      totalCost: cost.toFixed(4),
      messageCount,
      lastActivity,
    })),
    conversations: conversations.size,
  };
}

// Stable; invalid dates would make the order of all others a matter of chance, and stand at the end.
function inOrderOfTime(detailed) {
  const isValid = ({ time }) => !Number.isNaN(time);
  return [
    ...detailed.filter(isValid).sort((a, b) => a.time - b.time),
    ...detailed.filter((entry) => !isValid(entry)),
  ];
}

// `counts` stand in the middle, in an order that differs between the endpoints.
function row(key, bucket, counts) {
  return {
    ...key,
    inputTokens: bucket.inputTokens,
    outputTokens: bucket.outputTokens,
    cachedTokens: bucket.cachedTokens,
    totalTokens: bucket.totalTokens,
    cost: bucket.cost.toFixed(4),
    ...counts,
    newInputTokens: bucket.newInputTokens,
    cacheCreationTokens: bucket.cacheCreationTokens,
    cacheReadTokens: bucket.cacheReadTokens,
  };
}

module.exports = { addToBucket, newBucket, processTranscripts };
