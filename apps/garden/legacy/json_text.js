// The values of a JSON object or array as the texts in which they came.
// JSON.parse must have accepted the whole text before: nothing here looks for mistakes again.
'use strict';

const BLANK = /[ \t\n\r]*/y;
const SCALAR = /[^ \t\n\r,\]}]+/y;

// The texts of the named values, in the order of the names, undefined for a missing one. Other keys are ignored. As the
// original reads it, an array may stand for an object: it holds exactly the named values in their order.
// Null for another kind of value, for a name that comes twice, and for a key that is no Unicode text.
function fields(text, names) {
  if (text[0] === '[') {
    const values = split(text).map(([, value]) => value);
    return values.length === names.length ? values : null;
  }
  if (text[0] !== '{') return null;
  const found = names.map(() => undefined);
  for (const [key, value] of split(text)) {
    if (!key.isWellFormed()) return null;
    const index = names.indexOf(key);
    if (index === -1) continue;
    if (found[index] !== undefined) return null;
    found[index] = value;
  }
  return found;
}

// [key, text of the value] of each member; an array has no keys.
function split(text) {
  const members = [];
  let at = 1;
  for (;;) {
    at = end(BLANK, text, at);
    if (text[at] === '}' || text[at] === ']') return members;
    if (text[at] === ',') {
      at = end(BLANK, text, at + 1);
    }
    let key;
    if (text[0] === '{') {
      const quote = endOfString(text, at);
      key = JSON.parse(text.slice(at, quote));
      at = end(BLANK, text, end(BLANK, text, quote) + 1);
    }
    const start = at;
    at = endOfValue(text, start);
    members.push([key, text.slice(start, at)]);
  }
}

function endOfValue(text, start) {
  if (text[start] === '"') return endOfString(text, start);
  if (text[start] !== '{' && text[start] !== '[') return end(SCALAR, text, start);
  // Counted, not called recursively: a message can hold 30,000 levels.
  let depth = 0;
  let at = start;
  do {
    const letter = text[at];
    if (letter === '"') {
      at = endOfString(text, at);
      continue;
    }
    if (letter === '{' || letter === '[') depth += 1;
    if (letter === '}' || letter === ']') depth -= 1;
    at += 1;
  } while (depth > 0);
  return at;
}

function endOfString(text, start) {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function end(pattern, text, start) {
  pattern.lastIndex = start;
  pattern.test(text);
  return pattern.lastIndex;
}

module.exports = { fields };
