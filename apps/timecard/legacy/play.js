// A reader to watch: sends a status every second, and prints what goes out (>) and what comes in (<). It speaks
// Socket.IO over plain requests, so that it needs no package.
// node play.js [URL]    with NODE_EXTRA_CA_CERTS for a private CA.
'use strict';

const PAUSE_MS = 1000;
// Several packets in one answer are separated by this character (Engine.IO 4, "HTTP long-polling").
const SEPARATOR = '\x1e';

const SAYINGS = [
  '42["message",{"ip":"172.18.21.101","status":"delete_ic","ic":"0004578"}]',
  '42["message",{"ip":"172.18.21.101","status":"tmp inserted wo pic","data":{"id":1021}}]',
  '42["message",{"ip":"172.18.21.101","status":"start_connect"}]',
];

async function play(url) {
  const path = `${url}/socket.io/?EIO=4&transport=polling`;
  const { sid } = JSON.parse((await request(path)).slice(1));
  const session = `${path}&sid=${sid}`;
  await post(session, '40');
  let said = 0;
  setInterval(() => {
    const text = SAYINGS[said % SAYINGS.length];
    said += 1;
    console.log(`> ${text}`);
    post(session, text).catch(fail);
  }, PAUSE_MS);
  for (;;) {
    const packets = (await request(session)).split(SEPARATOR);
    for (const packet of packets) {
      if (packet === '2') await post(session, '3');
      else if (packet !== '6') console.log(`< ${packet}`);
      if (packet === '1') throw new Error('the server closed the session');
    }
  }
}

const post = (url, body) => request(url, { method: 'POST', body });

async function request(url, options) {
  const response = await fetch(url, options);
  const text = await response.text();
  if (!response.ok) throw new Error(`the server answered ${response.status}: ${text}`);
  return text;
}

function fail(error) {
  console.error(`play: ${error.cause?.message || error.message}`);
  process.exit(1);
}

play(process.argv[2] ?? 'https://localhost:3050').catch(fail);
