// The eight pages. They share a layout, the navigation and one browser script, and differ in what they show besides
// the live punches. All of them are fixed text: data comes over the REST answers and the socket.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const SCRIPT = readBrowserFile('live.js');
const STYLE = readBrowserFile('style.css');

const DELETE_FORM = `<form id="delete-ic">
  <label>Card <input name="ic" required autocomplete="off"></label>
  <button>Delete card</button>
</form>`;

const ENDPOINTS = `<table>
  <thead><tr><th>Address</th><th>Answer</th></tr></thead>
  <tbody>
    <tr><td><a href="/api/ic_log">/api/ic_log</a></td><td>card punches of the last two days</td></tr>
    <tr><td><a href="/api/finger_log">/api/finger_log</a></td><td>finger punches of the last two days</td></tr>
    <tr><td><a href="/api/drivers">/api/drivers</a></td><td>all drivers</td></tr>
    <tr><td><a href="/api/driver/1021">/api/driver/:id</a></td><td>one driver</td></tr>
  </tbody>
</table>`;

// `live.js` fills a list with the rows of `data-source`; `data-only="unregistered"` keeps those without an id.
const list = (source, columns, only = '') => `<table class="list" data-source="${source}" data-only="${only}">
  <thead><tr>${columns.map((column) => `<th>${column}</th>`).join('')}</tr></thead>
  <tbody></tbody>
</table>`;
const PUNCH_COLUMNS = ['id', 'datetime', 'machine_ip'];

const PAGES = [
  { path: '/', title: 'Time card', body: '<p>Punches appear below as the readers send them.</p>' },
  { path: '/users', title: 'Users', body: list('/api/finger_log', PUNCH_COLUMNS) },
  { path: '/api', title: 'API', body: ENDPOINTS },
  { path: '/ic', title: 'Cards', body: list('/api/ic_log', PUNCH_COLUMNS) },
  { path: '/delete_ic', title: 'Delete card', body: DELETE_FORM },
  { path: '/drivers', title: 'Drivers', body: list('/api/drivers', ['id', 'name']) },
  { path: '/video', title: 'Video', body: '<p>The latest picture of any reader.</p><img id="latest" alt="">' },
  { path: '/ic_non_reg', title: 'Unregistered cards', body: list('/api/ic_log', PUNCH_COLUMNS, 'unregistered') },
];

function servePages(app) {
  for (const page of PAGES) {
    const html = layout(page);
    app.get(page.path, (request, response) => response.send(html));
  }
}

function layout({ path: current, title, body }) {
  const links = PAGES.map(({ path: href, title: text }) => {
    const mark = href === current ? ' aria-current="page"' : '';
    return `<a href="${href}"${mark}>${text}</a>`;
  });
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} - timecard</title>
<style>
${STYLE}</style>
</head>
<body>
<nav>${links.join('\n')}</nav>
<main>
<h1>${title} <small id="connection">not connected</small></h1>
${body}
<h2>Live</h2>
<table id="punches">
  <thead><tr><th>Time</th><th>Reader</th><th>Status</th><th>Name</th><th>Picture</th></tr></thead>
  <tbody></tbody>
</table>
</main>
<script src="/socket.io/socket.io.js"></script>
<script>
${SCRIPT}</script>
</body>
</html>
`;
}

function readBrowserFile(name) {
  return fs.readFileSync(path.join(__dirname, 'browser', name), 'utf8');
}

module.exports = { servePages };
