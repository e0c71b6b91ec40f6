// JSON Web Tokens, HS256 only. Written out instead of taken from a package, so that every rule can be read here.
'use strict';

const { createHmac, timingSafeEqual } = require('node:crypto');

// Clocks of issuer and server may differ by this much.
const LEEWAY_S = 60;

// The user (`sub`) that a valid token names, else null. `exp` is required; a token for an audience (`aud`) is for
// somebody else, since this server has no name (RFC 7519 §4.1.3).
function userOf(token, secret) {
  const parts = token.split('.');
  if (parts.length !== 3 || !parts.every(isBase64Url)) return null;
  const [header, claims, signature] = parts;
  if (parse(header)?.alg !== 'HS256' || !isSignature(signature, sign(`${header}.${claims}`, secret))) return null;
  const { sub, exp, aud } = parse(claims) ?? {};
  if (typeof exp !== 'number' || !(Math.round(exp) >= Math.floor(Date.now() / 1000) - LEEWAY_S)) return null;
  return typeof sub === 'string' && (aud ?? null) === null ? sub : null;
}

// A token for `user`, valid for some seconds.
function tokenFor(user, secret, seconds) {
  const now = Math.floor(Date.now() / 1000);
  const message = [{ alg: 'HS256', typ: 'JWT' }, { sub: user, iat: now, exp: now + seconds }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${message}.${sign(message, secret).toString('base64url')}`;
}

function sign(message, secret) {
  return createHmac('sha256', secret).update(message).digest();
}

function isSignature(text, expected) {
  const signature = Buffer.from(text, 'base64url');
  return signature.length === expected.length && timingSafeEqual(signature, expected);
}

// Node decodes almost anything; what it would not have written itself is refused.
function isBase64Url(text) {
  return Buffer.from(text, 'base64url').toString('base64url') === text;
}

function parse(part) {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString());
  } catch {
    return null;
  }
}

module.exports = { tokenFor, userOf };
