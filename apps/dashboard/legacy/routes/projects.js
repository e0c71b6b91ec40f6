// GET /api/v2/projects and /api/v2/projects/:projectName: usage by project directory.
'use strict';

const express = require('express');

const { answering, compare, paginate, readPaging, readSorting, refusal, sumCosts } = require('../parameters');
const { loadUsage } = require('../process');

const PAGING = { limit: 20, largestLimit: 200 };
const ACTIVE_MS = 30 * 24 * 60 * 60 * 1000;
const KEYS = {
  // A project without a timestamp counts as one of 1970.
  lastActivity: (project) => new Date(project.lastActivity).getTime(),
  totalCost: (project) => parseFloat(project.totalCost),
  totalTokens: (project) => project.totalTokens,
  name: (project) => project.name.toLowerCase(),
  messageCount: (project) => project.messageCount,
};

function serveProjects(settings, cache) {
  const router = express.Router();

  router.get('/', answering(async (request, response) => {
    const { search } = request.query;
    const paging = readPaging(request.query, PAGING);
    const sorting = readSorting(request.query, Object.keys(KEYS));
    const refused = paging.refusal || sorting.refusal;
    if (refused) return response.status(400).json(refused);
    const minCost = parseFloat(request.query.minCost) || 0;

    const key = ['projects', paging.page, paging.limit, sorting.sortBy, sorting.sortOrder, minCost, search || ''].join('_');
    const cached = cache.get(key);
    if (cached) return response.json(cached);

    const { projects } = await loadUsage(settings);
    // The latest first, before they are sorted as asked: that decides about ties.
    projects.sort((a, b) => KEYS.lastActivity(b) - KEYS.lastActivity(a));
    const found = filter(projects, minCost, search).sort(compare(KEYS[sorting.sortBy], sorting.sortOrder));
    const answer = { ...paginate(found, paging), stats: summarize(found) };
    cache.set(key, answer);
    return response.json(answer);
  }));

  router.get('/:projectName', answering(async (request, response) => {
    const { projectName } = request.params;
    const { projects, days } = await loadUsage(settings);
    const project = projects.find(({ name }) => name === projectName);
    if (!project) {
      return response.status(404).json(refusal('Project not found', `No data found for project: ${projectName}`));
    }
    // A day holds how many sessions it has, not which: the first day that has any throws.
    const ofProject = days.filter((day) => day.sessions && day.sessions.some((session) => session.project === projectName));
    return response.json({
      ...project,
      dailyBreakdown: ofProject,
      trends: {
        tokensPerDay: ofProject.map(({ date, totalTokens }) => ({ date, tokens: totalTokens })),
        costPerDay: ofProject.map(({ date, cost }) => ({ date, cost })),
      },
    });
  }));

  return router;
}

function filter(projects, minCost, search) {
  let found = projects;
  if (minCost > 0) found = found.filter(({ totalCost }) => parseFloat(totalCost) >= minCost);
  if (search) {
    // A repeated parameter is no text, and throws.
    const wanted = search.toLowerCase();
    found = found.filter(({ name }) => name.toLowerCase().includes(wanted));
  }
  return found;
}

function summarize(projects) {
  const sum = (name) => projects.reduce((total, project) => total + project[name], 0);
  const activeSince = Date.now() - ACTIVE_MS;
  return {
    totalProjects: projects.length,
    totalCost: sumCosts(projects.map(({ totalCost }) => totalCost)),
    totalTokens: sum('totalTokens'),
    totalMessages: sum('messageCount'),
    activeProjects: projects.filter((project) => KEYS.lastActivity(project) > activeSince).length,
  };
}

module.exports = { serveProjects };
