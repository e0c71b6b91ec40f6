// JSON.stringify without its limit of depth. V8's is recursive and throws at about 4,000 levels, while a message of
// 1 MB can hold 500,000: that exception would end the process, and one reader could stop the time card for all.
'use strict';

// `value` comes from JSON.parse, with a Buffer where an attachment was.
function stringify(value) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return stringifyDeep(value);
  }
}

// The same text, with the open arrays and objects on an explicit stack instead of the call stack.
function stringifyDeep(root) {
  const written = [];
  const open = [];
  write(root);
  while (open.length > 0) {
    const parent = open.at(-1);
    if (parent.next === parent.keys.length) {
      written.push(parent.isArray ? ']' : '}');
      open.pop();
      continue;
    }
    const key = parent.keys[parent.next];
    if (parent.next > 0) written.push(',');
    if (!parent.isArray) written.push(JSON.stringify(key), ':');
    parent.next += 1;
    write(parent.value[key]);
  }
  return written.join('');

  function write(value) {
    if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) {
      written.push(JSON.stringify(value));
      return;
    }
    const isArray = Array.isArray(value);
    written.push(isArray ? '[' : '{');
    open.push({ value, isArray, keys: Object.keys(value), next: 0 });
  }
}

module.exports = { stringify };
