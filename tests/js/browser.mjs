// Opens the time card in a real Chromium, without a window, and looks at the page as an operator would. Chromium is
// driven over a pipe with its DevTools protocol, so nothing needs a port or a package.
//
// node browser.mjs URL PROFILE [SCREENSHOT]
//
// Reports {"event":"connected"} once the page says so, then {"event":"row","cells":[…]} with the first punch, and
// {"event":"done"} when Chromium is gone. PROFILE is an empty folder for Chromium's own files.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const [url, profile, screenshot] = process.argv.slice(2);
const CONNECTED = `((state) => state?.textContent === 'connected' ? state.textContent : null)(
  document.getElementById('connection'))`;
const FIRST_ROW = `((row) => row ? [...row.cells].map((cell) => cell.textContent) : null)(
  document.querySelector('#punches tbody tr'))`;

const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const chromium = spawn(
  'chromium',
  [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
    '--ignore-certificate-errors', '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank',
  ],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
);
const gone = new Promise((resolve) => chromium.on('close', resolve));
chromium.on('error', (error) => {
  console.error(`chromium: ${error.message}: run ./scripts/test`);
  process.exit(1);
});

// Messages in both directions end with a zero byte.
const [toChromium, fromChromium] = chromium.stdio.slice(3);
const waiting = new Map();
let unread = '';
fromChromium.setEncoding('utf8').on('data', (text) => {
  const messages = (unread + text).split('\0');
  unread = messages.pop();
  for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error) reject?.(new Error(error.message));
    else resolve?.(result);
  }
});

let session;
let asked = 0;
function ask(method, params = {}) {
  asked += 1;
  toChromium.write(`${JSON.stringify({ id: asked, method, params, sessionId: session })}\0`);
  return new Promise((resolve, reject) => waiting.set(asked, { resolve, reject }));
}

// Resolves with the first value of the expression, evaluated in the page, that is not null.
async function seen(expression) {
  const watch = `new Promise((resolve) => {
    const look = () => {
      const value = ${expression};
      if (value !== null) resolve(value);
      return value;
    };
    if (look() === null) new MutationObserver(look).observe(document, { childList: true, characterData: true, subtree: true });
  })`;
  const { result } = await ask('Runtime.evaluate', { expression: watch, awaitPromise: true, returnByValue: true });
  return result.value;
}

try {
  const { targetInfos } = await ask('Target.getTargets');
  const { targetId } = targetInfos.find(({ type }) => type === 'page');
  ({ sessionId: session } = await ask('Target.attachToTarget', { targetId, flatten: true }));
  const { errorText } = await ask('Page.navigate', { url });
  if (errorText) throw new Error(`${url}: ${errorText}`);
  report({ event: 'connected', text: await seen(CONNECTED) });
  report({ event: 'row', cells: await seen(FIRST_ROW) });
  if (screenshot) {
    const { data } = await ask('Page.captureScreenshot', { format: 'png' });
    writeFileSync(screenshot, Buffer.from(data, 'base64'));
  }
  session = undefined;
  await ask('Browser.close');
  await gone;
  report({ event: 'done' });
} finally {
  chromium.kill();
}
