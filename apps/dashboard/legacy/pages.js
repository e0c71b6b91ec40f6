// The front end, in production only: the files of build/, and its page for every other GET.
'use strict';

const path = require('node:path');

const express = require('express');

const BUILD = path.join(__dirname, 'build');

function serveBuild(app) {
  app.use(express.static(BUILD));
}

function servePage(app) {
  app.get('*', (request, response) => response.sendFile(path.join(BUILD, 'index.html')));
}

module.exports = { serveBuild, servePage };
