#!/usr/bin/env node
// check.mjs DOCUMENTS TRAFFIC...: holds recorded exchanges against the OpenAPI documents.
//
// DOCUMENTS is the folder of <service>.yaml; each TRAFFIC file has one exchange a line:
//   {service, method, path, request_body, status, headers?, content_type, body}
// Fails on an exchange that is not as documented, and on an operation or status that is documented
// and that no exchange shows.  `headers` are lower case; where a recorder left them out, they are
// not checked.

import fs from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { Document } from './document.mjs';

const JSON_TYPE = /^application\/(problem\+)?json$/;
const PROBLEM = 'application/problem+json';

// What a status must carry in every service, documented or not.
const HEADERS_OF_STATUS = new Map([
  [405, 'allow'],
  [429, 'retry-after'],
  [503, 'retry-after'],
]);

class Report {
  problems = new Map(); // text -> how often
  produced = new Map(); // service -> Set of "operation status"

  complain(exchange, text) {
    const where = `${exchange.service}: ${exchange.method} ${exchange.path} -> ${exchange.status}`;
    const line = `${where}: ${text}`;
    this.problems.set(line, (this.problems.get(line) ?? 0) + 1);
  }

  missing(service, text) {
    this.problems.set(`${service}: no exchange shows ${text}`, 1);
  }

  produce(service, what) {
    if (!this.produced.has(service)) this.produced.set(service, new Set());
    this.produced.get(service).add(what);
  }

  has(service, what) {
    return this.produced.get(service)?.has(what) ?? false;
  }
}

function mediaType(exchange) {
  return (exchange.content_type ?? '').split(';')[0].trim().toLowerCase();
}

function parseJson(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { error: error.message };
  }
}

// ---- one exchange

function checkBody(document, exchange, response, complain) {
  const documented = Object.entries(response.content ?? {});
  if (documented.length === 0) {
    if (exchange.body) complain('has a body, and none is documented');
    return;
  }
  const type = mediaType(exchange);
  const media = documented.find(([name]) => name.split(';')[0].trim() === type)?.[1];
  if (!media) {
    complain(`content type ${type || '(none)'}, documented: ${documented.map(([name]) => name)}`);
    return;
  }
  const { value, error } = JSON_TYPE.test(type) ? parseJson(exchange.body) : { value: exchange.body };
  if (error) complain(`the body is no JSON: ${error}`);
  const wrong = !error && media.schema && document.errorsOf(media.schema, value);
  if (wrong) complain(`body: ${wrong}`);
}

function checkHeaders(document, exchange, response, complain) {
  if (!exchange.headers) return;
  const always = ['x-request-id', HEADERS_OF_STATUS.get(exchange.status)].filter(Boolean);
  for (const name of always) {
    if (exchange.headers[name] === undefined) complain(`no ${name}`);
  }
  for (const [name, node] of Object.entries(response.headers ?? {})) {
    const header = document.resolve(node);
    const value = exchange.headers[name.toLowerCase()];
    if (value === undefined) {
      if (header.required) complain(`no ${name}`);
      continue;
    }
    const wrong = header.schema && document.errorsOfText(header.schema, value);
    if (wrong) complain(`${name}: ${wrong}`);
  }
}

function checkParameters(document, operation, params, query, complain) {
  const given = { path: new Map(Object.entries(params)), query: new Map(query) };
  for (const parameter of operation.parameters.filter((p) => given[p.in])) {
    const text = given[parameter.in].get(parameter.name);
    given[parameter.in].delete(parameter.name);
    if (text === undefined) {
      if (parameter.required) complain(`accepted without ${parameter.name}`);
      continue;
    }
    const wrong = document.errorsOfText(parameter.schema, decodeURIComponent(text));
    if (wrong) complain(`accepted ${parameter.name}=${text}: ${wrong}`);
  }
  for (const name of [...given.path.keys(), ...given.query.keys()]) {
    complain(`accepted the parameter ${name}, which is not documented`);
  }
}

// What was accepted must be what the document lets clients send.
function checkRequest(document, exchange, operation, params, query, complain) {
  checkParameters(document, operation, params, query, complain);
  const schema = operation.requestBody?.content?.['application/json']?.schema;
  if (!exchange.request_body) {
    if (operation.requestBody?.required) complain('accepted without a body');
    return;
  }
  if (!schema) {
    complain('accepted a body, and none is documented');
    return;
  }
  const { value, error } = parseJson(exchange.request_body);
  const wrong = error ?? document.errorsOf(schema, value);
  if (wrong) complain(`accepted the body: ${wrong}`);
}

function checkMetrics(document, exchange, complain) {
  const known = new Set([...document.operations.map((operation) => operation.id), 'none']);
  for (const [, id] of exchange.body.matchAll(/^volumecap_http_requests_total\{.*?operation="(.*?)"/gm)) {
    if (!known.has(id)) complain(`the label operation="${id}" is no operationId`);
  }
}

function checkServedDocument(document, exchange, complain) {
  if (!isDeepStrictEqual(parseJson(exchange.body).value, document.asWritten)) complain('is not the document');
}

// A path or method that the document does not have: refused, as a problem.
function checkRefusal(document, exchange, found, complain) {
  const schema = document.root.components?.schemas?.Problem;
  if (mediaType(exchange) !== PROBLEM) complain(`content type ${mediaType(exchange)}, not ${PROBLEM}`);
  else checkBody(document, exchange, { content: { [PROBLEM]: { schema } } }, complain);
  checkHeaders(document, exchange, {}, complain);
  if (exchange.status !== 405 || !found || !exchange.headers) return;
  const allowed = exchange.headers.allow?.split(/, */).sort().join();
  const documented = [...found.path.operations.keys()].sort().join();
  if (allowed !== documented) complain(`Allow: ${allowed}, documented: ${documented}`);
}

function checkExchange(document, exchange, report) {
  const complain = (text) => report.complain(exchange, text);
  const [pathname, search] = exchange.path.split('?');
  const found = document.find(pathname);
  const operation = found?.path.operations.get(exchange.method);

  if (!operation) {
    if (![400, found ? 405 : 404].includes(exchange.status)) complain('neither documented nor refused');
    checkRefusal(document, exchange, found, complain);
    report.produce(document.service, `${found?.path.template ?? 'an unknown path'} ${exchange.status}`);
    return;
  }
  const response = operation.responses.get(String(exchange.status));
  if (!response) {
    complain('this status is not documented');
    return;
  }
  report.produce(document.service, `${operation.id} ${exchange.status}`);
  checkBody(document, exchange, response, complain);
  checkHeaders(document, exchange, response, complain);
  if (exchange.status < 300) {
    const query = (search ?? '').split('&').filter(Boolean).map((pair) => pair.split('='));
    checkRequest(document, exchange, operation, found.params, query, complain);
  }
  if (pathname === '/metrics') checkMetrics(document, exchange, complain);
  if (pathname === '/openapi.json') checkServedDocument(document, exchange, complain);
}

// ---- all of them

function checkCoverage(document, report) {
  const expect = (what) => report.has(document.service, what) || report.missing(document.service, what);
  for (const operation of document.operations) {
    for (const status of operation.responses.keys()) expect(`${operation.id} ${status}`);
  }
  for (const { template } of document.paths) expect(`${template} 405`);
  expect('an unknown path 404');
}

function readTraffic(file) {
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

function main([folder, ...files]) {
  if (files.length === 0) {
    console.error('usage: check.mjs DOCUMENTS TRAFFIC...');
    return 2;
  }
  const documents = fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => new Document(path.join(folder, name)));
  const byService = new Map(documents.map((document) => [document.service, document]));
  const report = new Report();
  const traffic = files.flatMap(readTraffic);

  for (const exchange of traffic) {
    const document = byService.get(exchange.service);
    if (document) checkExchange(document, exchange, report);
    else report.complain(exchange, 'no document of that service');
  }
  documents.forEach((document) => checkCoverage(document, report));

  for (const [text, times] of report.problems) console.error(times > 1 ? `${text} (${times} times)` : text);
  const shown = [...report.produced.values()].reduce((sum, set) => sum + set.size, 0);
  const operations = documents.reduce((sum, document) => sum + document.operations.length, 0);
  console.log(
    `contract: ${traffic.length} exchanges, ${operations} operations, ${shown} outcomes, ` +
      `${report.problems.size} problems`,
  );
  return report.problems.size === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
