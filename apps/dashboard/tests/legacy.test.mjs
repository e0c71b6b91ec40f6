// Holds ../legacy to what was recorded of the original: header by header, and rule by rule over trees that
// are small enough to know every answer.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { promisify } from 'node:util';

const root = new URL('../../../', import.meta.url).pathname;
const fixture = path.join(root, 'apps/dashboard/legacy');
const generator = path.join(root, 'scripts/generate-dashboard');
const scratch = mkdtempSync(path.join(tmpdir(), 'strangler-dashboard-'));
const servers = new Map();
const trees = new Map();

after(async () => {
  const ends = await Promise.all([...servers.values()].map(async (server) => (await server).stop()));
  rmSync(scratch, { recursive: true, force: true });
  assert.deepEqual(new Set(ends), new Set([0]));
});

const SONNET = 'claude-sonnet-4-20250514';
const HAIKU = 'claude-haiku-4-5-20251001';
const HIDDEN = '{"error":"Internal server error","message":"An error occurred"}';

let homes = 0;

// { 'path under the home': text }
function home(files = {}) {
  homes += 1;
  const folder = path.join(scratch, `home-${homes}`);
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), content);
  }
  return folder;
}

const nothing = home();
const transcript = (...entries) => entries.map((entry) => `${typeof entry === 'string' ? entry : JSON.stringify(entry)}\n`).join('');
const entry = (timestamp, sessionId, usage, model = SONNET) => ({ timestamp, sessionId, message: { model, usage } });

// Nobody changes them, so that a kind is made once.
function generated(kind) {
  const folder = path.join(scratch, `generated-${kind}`);
  if (!trees.has(kind)) trees.set(kind, promisify(execFile)(generator, ['--kind', kind, folder]));
  return trees.get(kind).then(() => folder);
}

// The application over a folder, on a free port. It is started once for all tests that want the same: to start it takes
// longer than most of them.
async function start(folder, environment = {}) {
  const key = JSON.stringify([folder, environment]);
  if (!servers.has(key)) servers.set(key, launch(folder, environment));
  return (await servers.get(key)).get;
}

async function launch(folder, environment) {
  const { NODE_ENV, PROCESSOR, ...inherited } = process.env;
  const env = { ...inherited, TZ: 'UTC', HOME: folder, PORT: '0', ...environment };
  const child = spawn(process.execPath, ['server.js'], { cwd: fixture, env, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill();
    return (await ended)[0];
  };
  for await (const line of createInterface(child.stdout)) {
    const port = Number(/:(\d+)$/.exec(line)[1]);
    return { get: (target, options = {}) => send(port, target, options), stop };
  }
  throw new Error('the application ended before it listened');
}

async function send(port, target, { method = 'GET', headers = {}, body, from = '127.0.0.1' } = {}) {
  const options = { host: '127.0.0.1', port, path: target, method, headers, localAddress: from, agent: false };
  const request = http.request(options).end(body);
  const [response] = await once(request, 'response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const names = response.rawHeaders.filter((_, index) => index % 2 === 0);
  return { status: response.statusCode, headers: response.headers, names, text, json: () => JSON.parse(text) };
}

test('an answer has the recorded headers in their order', async () => {
  const get = await start(nothing);
  const { status, headers, names, text } = await get('/api/v2/summary');
  assert.equal(status, 200);
  assert.equal(text, '{"totalMcpSessions":0,"totalTodoFiles":0,"totalVsCodeTasks":0,"totalSize":0,"totalMessages":0,"totalConversations":0,"totalTokens":0,"totalCost":"0.00","lastActivity":null}');
  assert.deepEqual(names, [
    'Content-Security-Policy', 'Cross-Origin-Opener-Policy', 'Cross-Origin-Resource-Policy', 'Origin-Agent-Cluster',
    'Referrer-Policy', 'Strict-Transport-Security', 'X-Content-Type-Options', 'X-DNS-Prefetch-Control', 'X-Download-Options',
    'X-Frame-Options', 'X-Permitted-Cross-Domain-Policies', 'X-XSS-Protection', 'Vary', 'Access-Control-Allow-Credentials',
    'X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset', 'Permissions-Policy', 'Content-Type', 'Content-Length',
    'ETag', 'Date', 'Connection',
  ]);
  const { date, connection, etag, 'x-ratelimit-reset': reset, 'content-length': length, ...fixed } = headers;
  assert.match(reset, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(Number(length), text.length);
  assert.match(etag, /^W\/"[0-9a-f]+-.{27}"$/);
  assert.deepEqual(fixed, {
    'content-security-policy': "default-src 'self';style-src 'self' 'unsafe-inline';script-src 'self';img-src 'self' data: blob:;connect-src 'self' ws: wss:;font-src 'self';object-src 'none';media-src 'self';frame-src 'none';base-uri 'self';form-action 'self';frame-ancestors 'self';script-src-attr 'none';upgrade-insecure-requests",
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'origin-agent-cluster': '?1',
    'referrer-policy': 'same-origin',
    'strict-transport-security': 'max-age=31536000; includeSubDomains; preload',
    'x-content-type-options': 'nosniff',
    'x-dns-prefetch-control': 'off',
    'x-download-options': 'noopen',
    'x-frame-options': 'DENY',
    'x-permitted-cross-domain-policies': 'none',
    'x-xss-protection': '0',
    vary: 'Origin',
    'access-control-allow-credentials': 'true',
    'x-ratelimit-limit': '1000',
    'x-ratelimit-remaining': '999',
    'permissions-policy': 'geolocation=(), microphone=(), camera=()',
    'content-type': 'application/json; charset=utf-8',
  });
});

test('conditions, HEAD, other methods, paths and bodies are answered as Express does', async () => {
  const get = await start(nothing);
  const { headers: { etag, 'content-length': length } } = await get('/api/v2/models');
  for (const condition of [etag, '*', `"x", ${etag}`, etag.slice(2)]) {
    const fresh = await get('/api/v2/models', { headers: { 'If-None-Match': condition } });
    assert.equal(fresh.status, 304, condition);
    assert.equal(fresh.headers['content-type'] ?? fresh.headers['content-length'], undefined);
    assert.ok(fresh.headers['x-ratelimit-remaining']);
  }
  const reloaded = await get('/api/v2/models', { headers: { 'If-None-Match': etag, 'Cache-Control': 'no-cache' } });
  assert.equal(reloaded.status, 200);
  const head = await get('/api/v2/models', { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.etag, head.headers['content-length'], head.text], [200, etag, length, '']);

  const unknown = ['/', '/api/health', '/api/v2/mcp', '/api/v2/logs', '/api/v2/daily///', '//api/v2/daily'];
  for (const target of unknown) assert.equal((await get(target)).text, '{"error":"Resource not found"}', target);
  assert.equal((await get('/api/v2/daily', { method: 'POST' })).status, 404);
  for (const target of ['/API/V2/Daily', '/api/v2/daily/', '/api/v2/daily//']) assert.equal((await get(target)).status, 200, target);
  assert.match((await get('/API/V2/Daily/2025-07-01/')).text, /No usage data found for 2025-07-01"/);

  const refused = [
    [400, '/api/v2/daily/%E0%A4%A', {}],
    [400, '/nowhere', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '"x"' }],
    [400, '/nowhere', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{' }],
    [413, '/nowhere', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: `["${'x'.repeat(102400)}"]` }],
    [500, '/nowhere', { headers: { Origin: 'https://elsewhere.example' } }],
  ];
  for (const [status, target, options] of refused) {
    const answer = await get(target, options);
    assert.deepEqual([answer.status, answer.text, Boolean(answer.headers.etag)], [status, HIDDEN, true], target);
  }
});

test('two origins are allowed, and in production one', async () => {
  for (const [mode, expected] of [['', [200, 200, 500]], ['production', [500, 200, 500]]]) {
    const get = await start(nothing, mode ? { NODE_ENV: mode } : {});
    const origins = ['http://localhost:30000', 'http://localhost:30001', 'null'];
    const answers = await Promise.all(origins.map((Origin) => get('/api/v2/models', { headers: { Origin } })));
    assert.deepEqual(answers.map(({ status }) => status), expected);
    assert.equal(answers[1].headers['access-control-allow-origin'], origins[1]);
    assert.equal(answers[1].headers.vary, 'Origin');
    for (const name of ['vary', 'x-ratelimit-limit', 'permissions-policy']) assert.equal(answers[2].headers[name], undefined);
    const options = await get('/nowhere', { method: 'OPTIONS' });
    const { 'content-length': length, ...headers } = options.headers;
    assert.deepEqual([options.status, length], [204, '0']);
    assert.equal(headers['access-control-allow-methods'], 'GET,POST,PUT,DELETE,OPTIONS');
    assert.equal(headers['access-control-allow-headers'], 'Content-Type,Authorization,X-Requested-With');
    assert.equal(headers['access-control-max-age'], '86400');
  }
});

test('a socket address has its rate, counted without refused origins and OPTIONS', async () => {
  const get = await start(home(), { RATE_LIMIT: '3' });
  const headers = { 'X-Forwarded-For': '192.0.2.1' };
  assert.equal((await get('/nowhere')).headers['x-ratelimit-remaining'], '2');
  await get('/nowhere', { headers: { Origin: 'x' } });
  await get('/nowhere', { method: 'OPTIONS' });
  assert.equal((await get('/nowhere', { headers })).headers['x-ratelimit-remaining'], '1');
  assert.equal((await get('/nowhere', { from: '127.0.0.2' })).headers['x-ratelimit-remaining'], '2');
  assert.equal((await get('/nowhere')).headers['x-ratelimit-remaining'], '0');
  const limited = await get('/nowhere', { headers });
  assert.equal(limited.status, 429);
  assert.equal(limited.text, '{"error":"Too Many Requests","message":"Rate limit exceeded. Please try again later.","retryAfter":900}');
  for (const name of ['x-ratelimit-limit', 'permissions-policy', 'retry-after']) assert.equal(limited.headers[name], undefined);
  assert.equal((await get('/nowhere', { method: 'OPTIONS' })).status, 204);
});

test('a day, its hours and a month have the recorded rows', async () => {
  const usage = { input_tokens: 1000, output_tokens: 500, cache_read_input_tokens: 20000, cache_creation_input_tokens: 3000 };
  const get = await start(home({
    '.claude/projects/-work-a/one.jsonl': transcript(
      entry('2025-06-30T15:00:00Z', 's1', usage),
      entry('2025-07-01T08:59:59+09:00', 's2', { input_tokens: 500000 }, HAIKU),
    ),
  }), { TZ: 'Asia/Tokyo', CACHE_MS: '0' });
  assert.equal((await get('/api/v2/daily')).text, '{"data":[{"date":"2025-06-30","inputTokens":504000,"outputTokens":500,"cachedTokens":20000,"totalTokens":524500,"cost":"0.1505","sessions":2,"newInputTokens":501000,"cacheCreationTokens":3000,"cacheReadTokens":20000}],"pagination":{"currentPage":1,"totalPages":1,"totalItems":1,"itemsPerPage":50,"hasNext":false,"hasPrev":false}}');
  // 15:00 UTC is midnight in Tokyo.
  assert.equal((await get('/api/v2/daily?startHour=0&endHour=0')).text, '{"data":[{"date":"2025-06-30","inputTokens":4000,"outputTokens":500,"cachedTokens":20000,"totalTokens":24500,"cost":0.025500000000000002,"newInputTokens":1000,"cacheCreationTokens":3000,"cacheReadTokens":20000,"sessionCount":1}],"pagination":{"currentPage":1,"totalPages":1,"totalItems":1,"itemsPerPage":50,"hasNext":false,"hasPrev":false}}');
  assert.deepEqual((await get('/api/v2/daily?startHour=9')).json().data, []);
  assert.equal((await get('/api/v2/monthly/2025-07')).text, '{"month":"2025-07","inputTokens":504000,"outputTokens":500,"cachedTokens":20000,"totalTokens":524500,"cost":"0.1505","sessions":2,"messages":2,"newInputTokens":501000,"cacheCreationTokens":3000,"cacheReadTokens":20000}');
  const { hourlyData, heatmapData, statistics } = (await get('/api/v2/hourly')).json();
  assert.equal(hourlyData.length, 24);
  assert.deepEqual(heatmapData.map(({ date, hour }) => [date, hour]), [['2025-06-30', 0], ['2025-06-30', 8]]);
  assert.deepEqual([statistics.peakCostHour.hour, statistics.peakTokenHour.hour, statistics.peakRequestHour.hour], [8, 8, 0]);
  assert.deepEqual((await get('/api/v2/hourly?date=2025-07-01')).json().statistics.peakCostHour, { hour: 0, cost: 0, percentage: null });
});

test('costs round as JavaScript does, and totals add what was rounded', async () => {
  const get = await start(home({
    '.claude/projects/-a/x.jsonl': transcript(entry('2025-07-01T00:00:00Z', 's', { input_tokens: 125000 }, HAIKU)),
    '.claude/projects/-b/x.jsonl': transcript(entry('2025-07-02T00:00:00Z', 's', { input_tokens: 500000 }, HAIKU)),
  }));
  assert.deepEqual((await get('/api/v2/daily')).json().data.map(({ cost }) => cost), ['0.0313', '0.1250']);
  assert.equal((await get('/api/v2/projects?search=B')).json().stats.totalCost, '0.13');
  assert.equal((await get('/api/v2/summary')).json().totalCost, '0.16');
});

test('a model that is named like a member of every object costs NaN', async () => {
  const get = await start(home({
    '.claude/projects/-a/x.jsonl': transcript(entry('2025-07-01T00:00:00Z', 's', { input_tokens: 1 }, 'constructor')),
  }));
  assert.equal((await get('/api/v2/daily/2025-07-01')).json().cost, 'NaN');
  assert.equal((await get('/api/v2/summary')).json().totalCost, 'NaN');
  // By the hour what is no number counts as 0.
  assert.equal((await get('/api/v2/hourly')).json().statistics.totalCost, 0);
});

test('lines count as the rules say', async () => {
  const get = await start(home({
    '.claude/projects/-a/x.jsonl': transcript('null', '123', '"str"', '[]', 'junk', '', '  ', '{"timestamp":1751328000000}\r',
      entry(undefined, 's', { output_tokens: 1 }), entry('2025-07-02T00:00:00Z', 's', { output_tokens: -0.5, input_tokens: null })),
    '.claude/projects/-b/ignored.JSONL': transcript(entry('2025-07-01T00:00:00Z', 's', { output_tokens: 1 })),
    '.claude/projects/stray.jsonl': transcript(entry('2025-07-01T00:00:00Z', 's', { output_tokens: 1 })),
  }));
  const { data, stats } = (await get('/api/v2/projects')).json();
  assert.deepEqual(data.map(({ path: folder, ...row }) => row), [
    { name: '-a', totalTokens: 0.5, totalCost: '0.0000', messageCount: 7, lastActivity: '2025-07-02T00:00:00.000Z' },
    { name: '-b', totalTokens: 0, totalCost: '0.0000', messageCount: 0, lastActivity: null },
  ]);
  assert.deepEqual(stats, { totalProjects: 2, totalCost: '0.00', totalTokens: 0.5, totalMessages: 7, activeProjects: 0 });
  assert.equal((await get('/api/v2/summary')).json().totalTokens, -0.5);
  assert.equal((await get('/api/v2/models')).json().stats.totalTokens, 0.5);
  assert.equal((await get('/api/v2/projects/-a')).text, HIDDEN);
  assert.equal((await get('/api/v2/projects/none')).text, '{"error":"Project not found","message":"No data found for project: none"}');
});

test('parameters are read and refused as recorded', async () => {
  const get = await start(home({
    '.claude/projects/-a/x.jsonl': transcript(entry('2025-07-01T00:00:00Z', 's', { output_tokens: 1 }), entry('2025-08-01T00:00:00Z', 's', { output_tokens: 1 })),
  }));
  for (const [query, page, limit] of [['limit=2abc', 1, 2], ['limit=1.9', 1, 1], ['limit=1e9', 1, 1], ['limit=0x2', 1, 2], ['page=0&limit=0', 1, 50],
    ['page=+7', 7, 50], ['limit=1&limit=3', 1, 1], ['page=&limit=x', 1, 50]]) {
    const { currentPage, itemsPerPage } = (await get(`/api/v2/daily?${query}`)).json().pagination;
    assert.deepEqual([currentPage, itemsPerPage], [page, limit], query);
  }
  assert.deepEqual((await get('/api/v2/daily?page=9&limit=1')).json(), {
    data: [],
    pagination: { currentPage: 9, totalPages: 2, totalItems: 2, itemsPerPage: 1, hasNext: false, hasPrev: true },
  });
  const paging = (most) => ['Invalid pagination parameters', `Page must be >= 1, limit must be between 1 and ${most}`];
  for (const [target, error, message] of [
    ['daily?page=-1', ...paging(1000)], ['daily?limit=1001', ...paging(1000)], ['monthly?limit=121', ...paging(120)],
    ['projects?limit=201&sortBy=x', ...paging(200)], ['mcp/logs?limit=-1', ...paging(500)],
    ['daily?startHour=24', 'Invalid time range', 'Hours must be between 0 and 23'],
    ['monthly?year=2019', 'Invalid year parameter', 'Year must be between 2020 and 2030'],
    ['monthly?year=2025&year=2026', 'Invalid year parameter', 'Year must be between 2020 and 2030'],
    ['models?sortBy=x&sortOrder=x', 'Invalid sort field', 'sortBy must be one of: totalTokens, cost, messages, sessions, model'],
    ['models?sortOrder=ASC', 'Invalid sort order', 'sortOrder must be "asc" or "desc"'],
    ['projects?sortBy[]=name', 'Invalid sort field', 'sortBy must be one of: lastActivity, totalCost, totalTokens, name, messageCount'],
    ['daily/x', 'Invalid date format', 'Date must be in YYYY-MM-DD format'], ['monthly/2025-7', 'Invalid month format', 'Month must be in YYYY-MM format'],
    ['logs/content', 'Missing file parameter', 'File path is required'],
  ]) {
    const answer = await get(`/api/v2/${target}`);
    assert.deepEqual([answer.status, answer.text], [400, JSON.stringify({ error, message })], target);
  }
  const months = async (year) => (await get(`/api/v2/monthly?${year}`)).json().pagination.totalItems;
  assert.deepEqual(await Promise.all(['year=', 'year=2025', 'year[]=2025', 'year=2025.5', 'year=0x7E9'].map(months)), [2, 2, 2, 0, 0]);
  const days = async (query) => (await get(`/api/v2/daily?${query}`)).json().pagination.totalItems;
  assert.deepEqual(await Promise.all(['startDate=2025-07-01T12:00:00Z', 'endDate=2025-07-01', 'startDate=x', 'endDate=June+1+2025'].map(days)), [1, 1, 2, 0]);
  assert.equal((await get('/api/v2/projects?search=a&search=b')).text, HIDDEN);
});

test('hour 0 has the cache key of no hour, so the first answer decides', async () => {
  const get = await start(home({ '.claude/projects/-a/x.jsonl': transcript(entry('2025-07-01T05:00:00Z', 's', { output_tokens: 1 })) }));
  assert.equal((await get('/api/v2/daily')).text, (await get('/api/v2/daily?startHour=0')).text);
  assert.equal((await get('/api/v2/daily?endHour=0&limit=8')).json().data.length, 0);
  assert.equal((await get('/api/v2/daily?limit=8')).json().data.length, 0);
  assert.ok('sessionCount' in (await get('/api/v2/daily?startHour=x&limit=9')).json().data[0]);
});

test('rows with equal keys come out in reverse', async () => {
  const rows = ['b', 'a', 'B', 'c'].map((model) => entry('2025-07-01T05:00:00Z', 's', { output_tokens: 5 }, model));
  const get = await start(home({ '.claude/projects/-a/x.jsonl': transcript(...rows) }));
  const order = async (query) => (await get(`/api/v2/models?${query}`)).json().data.map(({ model }) => model).join('');
  assert.equal(await order(''), 'cBab');
  assert.equal(await order('sortOrder=asc'), 'cBab');
  assert.equal(await order('sortBy=model&sortOrder=asc'), 'aBbc');
  assert.equal((await get('/api/v2/models')).json().stats.mostUsedModel, 'c');
});

test('timestamps that are none poison what is by hours, and nothing else', async () => {
  const get = await start(await generated('poisoned'), { NODE_ENV: 'development' });
  assert.equal((await get('/api/v2/hourly')).text, '{"error":"Failed to fetch hourly usage data"}');
  assert.equal((await get('/api/v2/daily?endHour=23')).json().message, 'Invalid time value');
  assert.equal((await get('/api/v2/projects/-healthy')).json().message, 'day.sessions.some is not a function');
  assert.equal((await get('/api/v2/daily')).json().data.reduce((sum, { totalTokens }) => sum + totalTokens, 0), 60000);
  const first = await start(await generated('poisoned-first'));
  assert.equal((await first('/api/v2/projects')).json().data[0].lastActivity, null);
});

test('what cannot be read as a transcript fails every usage endpoint', async () => {
  for (const kind of ['broken-directory', 'broken-link']) {
    const get = await start(await generated(kind));
    for (const name of ['summary', 'daily', 'daily/2025-01-01', 'monthly', 'monthly/2025-01', 'models', 'projects', 'projects/x']) {
      const { status, text } = await get(`/api/v2/${name}`);
      assert.deepEqual([status, text], [500, HIDDEN], `${kind} ${name}`);
    }
    assert.equal((await get('/api/v2/hourly')).status, 500);
    assert.equal((await get('/api/v2/mcp/tools')).status, 200);
  }
});

test('without data every list is empty', async () => {
  const get = await start(nothing);
  assert.equal((await get('/api/v2/hourly')).text, '{"hourlyData":[],"heatmapData":[],"statistics":null}');
  assert.equal((await get('/api/v2/models')).text, '{"data":[],"stats":{"totalModels":0,"totalTokens":0,"totalCost":"0.00","totalMessages":0,"totalSessions":0,"mostUsedModel":null}}');
  assert.equal((await get('/api/v2/mcp/tools')).text, '{"totalCalls":0,"uniqueTools":0,"tools":[],"sessions":[]}');
  assert.equal((await get('/api/v2/mcp/tools/nope')).text, '{"error":"Tool not found","message":"No usage data found for tool: nope"}');
  assert.equal((await get('/api/v2/monthly')).json().pagination.totalPages, 0);
});

test('MCP logs are found, counted and sorted', async () => {
  const base = 'Library/Caches/claude-cli-nodejs';
  const call = (timestamp, name, cwd) => ({ method: 'tools/call', params: { name, cwd }, timestamp });
  const names = { early: `${base}/-a/mcp-logs-ide/early.txt`, late: `${base}/-b/mcp-logs-ide/late.txt` };
  const early = JSON.stringify([{ timestamp: '2025-06-30T23:59:59Z' }, call('2025-07-01T00:00:00Z', 'x', '/srv/first'),
    call('2025-07-01T00:00:01Z', '10'), call('2025-07-01T00:00:02Z', '9', '/srv/last'), null]);
  const late = transcript('junk', { debug: 'Calling MCP tool:  x ', timestamp: '2025-07-02T00:00:00Z' }, { debug: 'else' });
  const folder = home({ [names.early]: early, [names.late]: late });
  utimesSync(path.join(folder, names.early), 1751328000, 1751328000);
  utimesSync(path.join(folder, names.late), 1751414400, 1751414400);
  const get = await start(folder);
  assert.deepEqual((await get('/api/v2/mcp/logs?sessionId=early')).json().data, [
    { file: 'late.txt', filePath: path.join(folder, names.late), timestamp: '2025-07-02T00:00:00.000Z', size: late.length, entries: 2, sessionId: 'late' },
    { file: 'early.txt', filePath: path.join(folder, names.early), timestamp: '2025-07-01T00:00:00.000Z', size: early.length, entries: 5, sessionId: 'early' },
  ]);
  assert.equal((await get('/api/v2/mcp/tools')).text, '{"totalCalls":4,"uniqueTools":3,"tools":[' +
    '{"name":"x","count":2,"sessionCount":2,"firstUsed":"2025-07-02T00:00:00Z","lastUsed":"2025-07-01T00:00:00Z"},' +
    '{"name":"10","count":1,"sessionCount":1,"firstUsed":"2025-07-01T00:00:01Z","lastUsed":"2025-07-01T00:00:01Z"},' +
    '{"name":"9","count":1,"sessionCount":1,"firstUsed":"2025-07-01T00:00:02Z","lastUsed":"2025-07-01T00:00:02Z"}],"sessions":[' +
    '{"sessionId":"late","projectName":"-b","tools":{"x":1},"startTime":"2025-07-02T00:00:00Z","endTime":"2025-07-02T00:00:00Z","cwd":"-b","file":"late.txt"},' +
    '{"sessionId":"early","projectName":"-a","tools":{"9":1,"10":1,"x":1},"startTime":"2025-06-30T23:59:59Z","endTime":"2025-07-01T00:00:02Z","cwd":"/srv/last","file":"early.txt"}]}');
  assert.deepEqual((await get('/api/v2/mcp/tools/10')).json().relatedSessions.map(({ sessionId }) => sessionId), ['early']);
  const { totalMcpSessions, totalSize, lastActivity } = (await get('/api/v2/summary')).json();
  assert.deepEqual([totalMcpSessions, totalSize, lastActivity], [2, early.length + late.length, '2025-07-02T00:00:00.000Z']);
});

test('files are shown by the beginning of their path', async () => {
  const folder = home({ '.claude/a.json': '{"b":[1]}', '.claude/bad.json': '{', '.claude-evil/x': 'seen', outside: 'no', '.claude/big': 'x'.repeat(10 * 1024 * 1024 + 1) });
  symlinkSync('../outside', path.join(folder, '.claude/link'));
  utimesSync(path.join(folder, '.claude/a.json'), 1751400000, 1751400000);
  const get = await start(folder);
  const show = (name) => get(`/api/v2/logs/content?file=${encodeURIComponent(`${folder}/${name}`)}`);
  assert.equal((await show('.claude/a.json')).text,
    `{"success":true,"data":{"content":"{\\n  \\"b\\": [\\n    1\\n  ]\\n}","size":9,"modified":"2025-07-01T20:00:00.000Z","path":"${folder}/.claude/a.json"}}`);
  for (const [name, content] of [['.claude/bad.json', '{'], ['.claude-evil/x', 'seen'], ['.claude/link', 'no'], ['x/../.claude/link', 'no']]) {
    assert.equal((await show(name)).json().data.content, content);
  }
  for (const [name, status, error] of [['outside', 403, 'Access denied'], ['.claude/../outside', 403, 'Access denied'], ['.claude/none', 404, 'File not found'],
    ['.claude/big', 413, 'File too large'], ['.claude', 500, 'File read error']]) {
    const answer = await show(name);
    assert.deepEqual([answer.status, answer.json().error], [status, error], name);
  }
  assert.equal((await get('/api/v2/logs/content?file=a&file=b')).text, HIDDEN);
});

test('in production the page answers every other GET', async () => {
  const get = await start(nothing, { NODE_ENV: 'production' });
  for (const target of ['/', '/api/health', '/anything']) assert.match((await get(target)).text, /<title>Usage dashboard<\/title>/);
  assert.match((await get('/page.js')).headers['content-type'], /javascript/);
  assert.equal((await get('/anything', { method: 'POST' })).status, 404);
});

test('with a processor the answers are the same', async () => {
  const names = ['summary', 'daily?startHour=3&endHour=20', 'models', 'projects?limit=200', 'hourly'];
  const compare = async (kind) => {
    const folder = await generated(kind);
    const [own, processed] = await Promise.all([start(folder), start(folder, { PROCESSOR: await processorOf(folder) })]);
    for (const name of names) {
      const [expected, answer] = await Promise.all([own(`/api/v2/${name}`), processed(`/api/v2/${name}`)]);
      assert.equal(answer.text, expected.text, `${kind} ${name}`);
      assert.equal(answer.status, expected.status);
    }
  };
  await Promise.all(['nasty', 'extreme', 'poisoned-first', 'broken-link'].map(compare));
});

// Takes the command line that a processor has, and prints what the fixture's own program printed, where it did.
async function processorOf(folder) {
  const output = `${folder}.processed`;
  const program = [path.join(fixture, 'process.js'), '--home', folder];
  const printed = await promisify(execFile)(process.execPath, program, { maxBuffer: 2 ** 30 }).catch(() => null);
  if (printed) writeFileSync(output, printed.stdout);
  const processor = `${folder}.processor`;
  writeFileSync(processor, `#!/bin/sh\n[ "$1 $2 $3" = "process --home ${folder}" ] || exit 2\nexec cat '${output}'\n`);
  chmodSync(processor, 0o755);
  return processor;
}

test('the nasty tree has no timestamp that is none, in any zone', async () => {
  const folder = await generated('nasty');
  for (const TZ of ['UTC', 'Asia/Tokyo', 'America/New_York']) {
    const get = await start(folder, TZ === 'UTC' ? {} : { TZ });
    assert.equal((await get('/api/v2/hourly')).status, 200, TZ);
    assert.equal((await get('/api/v2/projects')).json().pagination.totalItems, 31);
  }
});
