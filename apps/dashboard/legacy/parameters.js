// Reads query parameters as the original does, and the answers that refuse them.
'use strict';

// `parseInt` stops at the first character that is no digit, and 0 counts as absent.
function readPaging(query, { limit, largestLimit }) {
  const paging = { page: parseInt(query.page) || 1, limit: parseInt(query.limit) || limit };
  const isValid = paging.page >= 1 && paging.limit >= 1 && paging.limit <= largestLimit;
  return { ...paging, refusal: isValid ? null : refusal('Invalid pagination parameters', pagingText(largestLimit)) };
}

const pagingText = (largestLimit) => `Page must be >= 1, limit must be between 1 and ${largestLimit}`;

function readSorting(query, fields) {
  const sortBy = query.sortBy || fields[0];
  const sortOrder = query.sortOrder || 'desc';
  let refused = null;
  if (!fields.includes(sortBy)) {
    refused = refusal('Invalid sort field', `sortBy must be one of: ${fields.join(', ')}`);
  } else if (!['asc', 'desc'].includes(sortOrder)) {
    refused = refusal('Invalid sort order', 'sortOrder must be "asc" or "desc"');
  }
  return { sortBy, sortOrder, refusal: refused };
}

function refusal(error, message) {
  return { error, message };
}

// The page of the rows, and what tells the client where it is.
function paginate(rows, { page, limit }) {
  const first = (page - 1) * limit;
  return {
    data: rows.slice(first, first + limit),
    pagination: {
      currentPage: page,
      totalPages: Math.ceil(rows.length / limit),
      totalItems: rows.length,
      itemsPerPage: limit,
      hasNext: page * limit < rows.length,
      hasPrev: page > 1,
    },
  };
}

// Never 0, not even for equal keys: these come out in the reverse of the order in which they came, in both directions.
function compare(key, sortOrder) {
  return sortOrder === 'asc'
    ? (a, b) => (key(a) > key(b) ? 1 : -1)
    : (a, b) => (key(a) < key(b) ? 1 : -1);
}

// The sum of costs that were rounded to four decimals before, as text with two.
function sumCosts(texts) {
  return texts.reduce((sum, text) => sum + parseFloat(text), 0).toFixed(2);
}

// Express 4 does not know what became of a promise.
function answering(handler) {
  return (request, response, next) => handler(request, response).catch(next);
}

module.exports = { answering, compare, paginate, readPaging, readSorting, refusal, sumCosts };
