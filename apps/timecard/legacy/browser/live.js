// Runs in each page. Whatever comes from outside enters the page as textContent, never as HTML.
'use strict';

const MAX_ROWS = 200;

const connection = document.getElementById('connection');
const socket = io();

socket.on('disconnect', () => { connection.textContent = 'not connected'; });
socket.on('hello', (text) => {
  if (text === 'from server') {
    connection.textContent = 'connected';
    return;
  }
  try {
    showPunch(JSON.parse(text));
  } catch {
    // Only JSON is a punch.
  }
});

const deleteForm = document.getElementById('delete-ic');
deleteForm?.addEventListener('submit', (event) => {
  event.preventDefault();
  socket.emit('message', { status: 'delete_ic', ic: new FormData(deleteForm).get('ic') });
  deleteForm.reset();
});

document.querySelectorAll('table.list').forEach(fillList);

function showPunch(punch) {
  const picture = pictureOf(punch?.data);
  const row = document.createElement('tr');
  row.append(
    cell(new Date().toLocaleTimeString()),
    cell(punch?.ip),
    cell(punch?.status),
    cell(punch?.data?.name),
    cell('', picture),
  );
  const body = document.querySelector('#punches tbody');
  body.prepend(row);
  while (body.rows.length > MAX_ROWS) body.lastElementChild.remove();

  const latest = document.getElementById('latest');
  if (latest && picture) latest.src = picture.src;
}

// The readers name their pictures pic_data, pic_data_1 or pic_data_2; the text is base64.
function pictureOf(data) {
  const field = Object.keys(data ?? {}).find((key) => key.startsWith('pic') && typeof data[key] === 'string');
  if (!field) return undefined;
  const image = document.createElement('img');
  image.src = `data:image/jpeg;base64,${data[field]}`;
  image.alt = field;
  return image;
}

async function fillList(table) {
  const response = await fetch(table.dataset.source);
  const columns = [...table.tHead.rows[0].cells].map((head) => head.textContent);
  const rows = (await response.json()).filter((row) => table.dataset.only !== 'unregistered' || row.id === null);
  for (const row of rows) {
    const line = document.createElement('tr');
    line.append(...columns.map((column) => cell(row[column])));
    table.tBodies[0].append(line);
  }
}

function cell(value, ...children) {
  const element = document.createElement('td');
  element.textContent = value ?? '';
  element.append(...children.filter(Boolean));
  return element;
}
