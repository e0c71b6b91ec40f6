// Holds routes.schema.json, which editors use, to the files that the proxy itself accepts and refuses.
// A bad fixture says in its first line what the schema does with it: `# schema: refuses`, or `# schema: accepts` where
// the mistake is one that a schema cannot see. One without such a line is not TOML, or not what smol-toml reads as TOML.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import Ajv2020 from 'ajv/dist/2020.js';
import { parse } from 'smol-toml';

const root = new URL('../../', import.meta.url);
const fixtures = new URL('tests/fixtures/config/', root);
const schema = JSON.parse(readFileSync(new URL('src/config/routes.schema.json', root), 'utf8'));
const ajv = new Ajv2020({ allErrors: true, strict: true, strictRequired: false, strictTypes: false });
const validate = ajv.compile(schema);

const names = readdirSync(fixtures).filter((name) => name.endsWith('.toml'));
const read = (url) => new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(url));
const errors = () => ajv.errorsText(validate.errors, { separator: '\n' });

for (const name of names.filter((name) => name.startsWith('good-'))) {
  test(`${name} fits the schema`, () => {
    assert.ok(validate(parse(read(new URL(name, fixtures)))), errors());
  });
}

for (const name of names.filter((name) => !name.startsWith('good-'))) {
  test(`${name} is judged as it says`, () => {
    const bytes = readFileSync(new URL(name, fixtures), 'latin1');
    const verdict = /^# schema: (accepts|refuses)$/m.exec(bytes.split('\n')[0])?.[1];
    if (verdict === undefined) {
      assert.throws(() => parse(read(new URL(name, fixtures))), `${name} is TOML: say what the schema does with it`);
      return;
    }
    const fits = validate(parse(read(new URL(name, fixtures))));
    assert.equal(fits ? 'accepts' : 'refuses', verdict, errors());
  });
}

test('the shipped routes.toml fits the schema', () => {
  const shipped = new URL('routes.toml', root);
  // Absent only while the package is taken apart; the Rust tests need it.
  if (existsSync(shipped)) {
    assert.ok(validate(parse(read(shipped))), errors());
  }
});

test('every key has a description', () => {
  const walk = (node, path) => {
    if (node === null || typeof node !== 'object') return;
    for (const [key, property] of Object.entries(node.properties ?? {})) {
      if (node.type === 'object') assert.ok(property.description, `${path}/${key}`);
    }
    for (const [key, value] of Object.entries(node)) walk(value, `${path}/${key}`);
  };
  walk(schema, '');
});
