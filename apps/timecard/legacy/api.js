// The REST answers, as the CakePHP application before this one gave them.
// Headers and ETag are left to Express: a replacement is compared with exactly those.
'use strict';

function serveApi(app, database) {
  app.get('/api/ic_log', answer(() => database.icLog()));
  app.get('/api/finger_log', answer(() => database.fingerLog()));
  app.get('/api/drivers', answer(() => database.drivers()));

  app.get('/api/driver/:id', answer(async (request, response) => {
    const driver = await database.driver(request.params.id);
    if (driver) return driver;
    response.status(404);
    return { error: 'driver not found' };
  }));
}

// Express 4 does not look at promises, so a failed query is handed to its error handler (500) here.
function answer(body) {
  return (request, response, next) => {
    body(request, response).then((value) => response.json(value)).catch(next);
  };
}

module.exports = { serveApi };
