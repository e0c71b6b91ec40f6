// GET /api/v2/logs/content: the text of one file.
'use strict';

const fs = require('node:fs/promises');
const path = require('node:path');

const express = require('express');

const { answering, refusal } = require('./parameters');

const LARGEST_BYTES = 10 * 1024 * 1024;

function serveLogs(settings) {
  const router = express.Router();

  router.get('/content', answering(async (request, response) => {
    const { file } = request.query;
    if (!file) return response.status(400).json(refusal('Missing file parameter', 'File path is required'));
    // A repeated parameter is no text, and throws.
    const filePath = path.resolve(file);
    // The beginning of a text, not a directory: `.claude-other` passes too. Links are followed wherever they lead.
    if (!settings.readable.some((prefix) => filePath.startsWith(prefix))) {
      return response.status(403).json(refusal('Access denied', 'File access not allowed'));
    }
    return sendFile(response, filePath);
  }));

  return router;
}

async function sendFile(response, filePath) {
  try {
    const { size, mtime } = await fs.stat(filePath);
    if (size > LARGEST_BYTES) {
      return response.status(413).json(refusal('File too large', 'File size exceeds 10MB limit'));
    }
    const content = readable(filePath, await fs.readFile(filePath, 'utf8'));
    return response.json({ success: true, data: { content, size, modified: mtime, path: filePath } });
  } catch (error) {
    if (error.code === 'ENOENT') {
      return response.status(404).json(refusal('File not found', 'The requested file does not exist'));
    }
    return response.status(500).json(refusal('File read error', 'Unable to read the requested file'));
  }
}

function readable(filePath, text) {
  if (!filePath.endsWith('.json')) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

module.exports = { serveLogs };
