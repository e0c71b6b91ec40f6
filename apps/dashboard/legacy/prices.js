// What a model costs, in dollars per million tokens.
'use strict';

const OPUS = { input: 15, output: 75 };
const SONNET = { input: 3, output: 15 };
const HAIKU = { input: 0.25, output: 1.25 };
const HAIKU_3_5 = { input: 1, output: 5 };
const MILLION = 1_000_000;

// A plain object: a model that is named like a member of Object.prototype finds something without prices here, and
// costs NaN.
const PRICES = {
  'claude-3-opus-20240229': OPUS,
  'claude-opus-4-20250514': OPUS,
  'claude-sonnet-4-20250514': SONNET,
  'claude-sonnet-4-5-20250929': SONNET,
  'claude-3-5-sonnet-20241022': SONNET,
  'claude-3-5-sonnet-20240620': SONNET,
  'claude-3-sonnet-20240229': SONNET,
  'claude-haiku-4-5-20251001': HAIKU,
  'claude-3-haiku-20240307': HAIKU,
  'claude-3-5-haiku-20241022': HAIKU_3_5,
  'gpt-4': { input: 30, output: 60 },
  'gpt-4-turbo': { input: 10, output: 30 },
  'gpt-3.5-turbo': { input: 0.5, output: 1.5 },
};

const warned = new Set();

function priceOf(model) {
  if (!model) return SONNET;
  if (PRICES[model]) return PRICES[model];
  const name = model.toLowerCase();
  if (name.includes('synthetic') || name.startsWith('<')) return SONNET;
  if (name.includes('opus')) return OPUS;
  if (name.includes('haiku')) return name.includes('4-5') || name.includes('20251001') ? HAIKU : HAIKU_3_5;
  if (!name.includes('sonnet') && !warned.has(model)) {
    warned.add(model);
    console.warn(`dashboard: no price for the model ${JSON.stringify(model)}, that of Sonnet is taken`);
  }
  return SONNET;
}

// The order of the products and sums decides the last digits.
function costOf(model, { newInputTokens, cacheReadTokens, cacheCreationTokens, outputTokens }) {
  const price = priceOf(model);
  const input = price.input / MILLION;
  const output = price.output / MILLION;
  return newInputTokens * input + cacheReadTokens * input * 0.1 + cacheCreationTokens * input + outputTokens * output;
}

module.exports = { costOf };
