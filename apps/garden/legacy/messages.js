// The texts of generation B: what a client may say, and the exact answers.
'use strict';

const { fields } = require('./json_text');

// What a text means, or null if it is no message:
// { type: 'GetState' | 'Heartbeat' }, { type: 'CreateCelestialBody', bodyType, body: JSON text }
// or { type: 'SaveGame', state: the four JSON texts of database.js }.
function parseMessage(received) {
  try {
    JSON.parse(received);
  } catch {
    return null;
  }
  const text = received.trim();
  const [type, data = 'null'] = fields(text, ['type', 'data']) ?? [];
  if (type?.[0] !== '"') return null;
  switch (JSON.parse(type)) {
    case 'GetState':
      return data === 'null' ? { type: 'GetState' } : null;
    case 'Heartbeat':
      return data === 'null' ? { type: 'Heartbeat' } : null;
    case 'CreateCelestialBody':
      return parseCreate(data);
    case 'SaveGame':
      return parseSave(data);
    default:
      return null;
  }
}

function parseCreate(data) {
  const [bodyType, position] = object(data, ['body_type', 'position']) ?? [];
  if (bodyType?.[0] !== '"' || position === undefined) return null;
  const coordinates = fields(position, ['x', 'y', 'z']);
  if (!coordinates?.every(isNumber)) return null;
  const [x, y, z] = coordinates;
  const name = JSON.parse(bodyType);
  // Half a surrogate pair is no text, and could not be echoed.
  if (!name.isWellFormed()) return null;
  return {
    type: 'CreateCelestialBody',
    bodyType: name,
    body: `{"body_type":${bodyType},"position":{"x":${x},"y":${y},"z":${z}}}`,
  };
}

function parseSave(data) {
  const [state] = object(data, ['state']) ?? [];
  if (state === undefined) return null;
  const parts = fields(state, ['resources', 'celestial_bodies', 'research', 'statistics']);
  if (parts === null || parts.includes(undefined)) return null;
  const [resources, bodies, research, statistics] = parts;
  if (bodies[0] !== '[') return null;
  const isEmpty = bodies.slice(1, -1).trim() === '';
  return {
    type: 'SaveGame',
    state: { resources, celestial_bodies: isEmpty ? '[]' : bodies, research, statistics },
  };
}

// Directly below `data`, an array does not stand for an object.
function object(text, names) {
  return text[0] === '{' ? fields(text, names) : null;
}

// 1e999 is JSON, but beyond what a number can hold.
function isNumber(text) {
  return text !== undefined && /^[-0-9]/.test(text) && Number.isFinite(JSON.parse(text));
}

function stateUpdate({ resources, celestial_bodies: bodies, research, statistics }) {
  const state =
    `{"resources":${resources},"celestial_bodies":${bodies},"research":${research},"statistics":${statistics}}`;
  return `{"type":"StateUpdate","data":{"full":true,"data":{"game_state":${state},"timestamp":"${now()}"}}}`;
}

function bodyCreated(bodyType) {
  return actionResult(`天体「${bodyType}」を作成しました`);
}

function gameSaved() {
  return actionResult('ゲームを保存しました');
}

function heartbeat() {
  return '{"type":"Heartbeat"}';
}

const ERRORS = {
  AUTH_REQUIRED: '認証が必要です',
  INVALID_FORMAT: 'メッセージフォーマットが正しくありません',
  BINARY_NOT_SUPPORTED: 'バイナリメッセージはサポートされていません',
  // The original had no storage that could fail; this answer is an invention.
  INTERNAL_ERROR: 'サーバーエラーが発生しました',
};

function error(code) {
  return JSON.stringify({ type: 'Error', data: { code, message: ERRORS[code] } });
}

function actionResult(message) {
  return JSON.stringify({ type: 'ActionResult', data: { success: true, message } });
}

// RFC 3339 as the original prints it: no fraction where there is none.
function now() {
  return new Date().toISOString().replace('.000Z', 'Z');
}

module.exports = { bodyCreated, error, gameSaved, heartbeat, parseMessage, stateUpdate };
