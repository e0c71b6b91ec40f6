// One page load asks for seven things at once; if one of them fails, there is no page.
'use strict';

const SOURCES = {
  Summary: '/api/v2/summary',
  Days: '/api/v2/daily?limit=30',
  Months: '/api/v2/monthly?limit=12',
  'MCP logs': '/api/v2/mcp/logs?limit=100',
  'MCP tools': '/api/v2/mcp/tools',
  Projects: '/api/v2/projects?limit=50',
  Models: '/api/v2/models',
};

async function load(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

function table(title, answer) {
  const rows = answer.data || answer.tools || [answer];
  const element = document.createElement('table');
  element.createCaption().textContent = title;
  const head = element.createTHead().insertRow();
  for (const name of Object.keys(rows[0] || {})) {
    head.append(Object.assign(document.createElement('th'), { textContent: name }));
  }
  const body = element.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const value of Object.values(row)) line.insertCell().textContent = value;
  }
  return element;
}

async function show() {
  const state = document.getElementById('state');
  const began = performance.now();
  try {
    const answers = await Promise.all(Object.values(SOURCES).map(load));
    const tables = Object.keys(SOURCES).map((title, index) => table(title, answers[index]));
    document.querySelector('main').replaceChildren(...tables);
    state.textContent = `${Math.round(performance.now() - began)} ms`;
  } catch (error) {
    state.textContent = `failed: ${error.message}`;
  }
}

show();
