// What every request passes: security headers, CORS, the rate limit, and what answers when nothing else did.
// The order is in server.js; it decides which headers an early answer has.
'use strict';

const cors = require('cors');
const helmet = require('helmet');

const WINDOW_MS = 15 * 60 * 1000;
const DEVELOPMENT_ORIGIN = 'http://localhost:30000';
const ORIGIN = 'http://localhost:30001';

function securityHeaders() {
  return helmet({
    contentSecurityPolicy: {
      directives: {
        defaultSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        scriptSrc: ["'self'"],
        imgSrc: ["'self'", 'data:', 'blob:'],
        connectSrc: ["'self'", 'ws:', 'wss:'],
        fontSrc: ["'self'"],
        objectSrc: ["'none'"],
        mediaSrc: ["'self'"],
        frameSrc: ["'none'"],
      },
    },
    frameguard: { action: 'deny' },
    hsts: { maxAge: 31536000, includeSubDomains: true, preload: true },
    referrerPolicy: { policy: 'same-origin' },
  });
}

function crossOrigin({ mode }) {
  const allowed = mode === 'production' ? [ORIGIN] : [DEVELOPMENT_ORIGIN, ORIGIN];
  return cors({
    origin(origin, callback) {
      if (!origin || allowed.includes(origin)) callback(null, true);
      else callback(new Error('CORS policy violation'));
    },
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS'],
    allowedHeaders: ['Content-Type', 'Authorization', 'X-Requested-With'],
    maxAge: 86400,
  });
}

// A sliding window for each address of a socket: behind a proxy everybody shares one.
function limitRate({ rateLimit }) {
  const seen = new Map();
  return (request, response, next) => {
    const now = Date.now();
    const address = request.socket.remoteAddress;
    const recent = (seen.get(address) || []).filter((time) => now - time < WINDOW_MS);
    seen.set(address, recent);
    if (recent.length >= rateLimit) {
      response.status(429).json({
        error: 'Too Many Requests',
        message: 'Rate limit exceeded. Please try again later.',
        retryAfter: WINDOW_MS / 1000,
      });
      return;
    }
    recent.push(now);
    response.setHeader('X-RateLimit-Limit', rateLimit);
    response.setHeader('X-RateLimit-Remaining', rateLimit - recent.length);
    response.setHeader('X-RateLimit-Reset', new Date(now + WINDOW_MS).toISOString());
    next();
  };
}

// All but the last repeat what the security headers say, and keep their place in the answer.
function extraHeaders(request, response, next) {
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('X-Frame-Options', 'DENY');
  response.setHeader('Referrer-Policy', 'same-origin');
  response.setHeader('Permissions-Policy', 'geolocation=(), microphone=(), camera=()');
  next();
}

function answerUnknown(request, response) {
  response.status(404).json({ error: 'Resource not found' });
}

function answerErrors({ mode }) {
  // Express knows an error handler by its four parameters.
  return (error, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    response.status(error.status || 500).json({
      error: 'Internal server error',
      message: mode === 'development' ? error.message : 'An error occurred',
    });
  };
}

module.exports = { answerErrors, answerUnknown, crossOrigin, extraHeaders, limitRate, securityHeaders };
