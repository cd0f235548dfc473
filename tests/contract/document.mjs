// document.mjs: one service's OpenAPI document, ready to hold an exchange against it.

import fs from 'node:fs';
import path from 'node:path';

import Ajv from 'ajv/dist/2019.js';
import addFormats from 'ajv-formats';
import YAML from 'yaml';

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options'];

// JSON schema lets an object have members that nobody documented; a contract must not.
function closeObjects(document) {
  const shared = new Set();
  walk(document, (node) => {
    for (const part of node.allOf ?? []) shared.add(part.$ref ?? part);
  });
  const open = new Set([...shared].map((part) => (typeof part === 'string' ? find(document, part) : part)));
  walk(document, (node) => {
    if (node.type !== 'object' && !node.allOf) return;
    if (open.has(node) || node.additionalProperties !== undefined) return;
    if (node.properties || node.allOf) node.unevaluatedProperties = false;
  });
}

// OpenAPI 3.0 marks a bound as exclusive by a boolean, today's JSON schema by the bound itself.
function modernize(document) {
  walk(document, (node) => {
    for (const [flag, bound] of [['exclusiveMinimum', 'minimum'], ['exclusiveMaximum', 'maximum']]) {
      if (typeof node[flag] !== 'boolean') continue;
      const value = node[bound];
      if (node[flag]) delete node[bound];
      delete node[flag];
      if (value !== node[bound]) node[flag] = value;
    }
  });
}

function walk(node, visit) {
  if (node === null || typeof node !== 'object') return;
  if (!Array.isArray(node)) visit(node);
  Object.entries(node)
    .filter(([key]) => key !== 'example' && key !== 'examples')
    .forEach(([, child]) => walk(child, visit));
}

function find(document, pointer) {
  return pointer
    .slice(2)
    .split('/')
    .map((token) => decodeURIComponent(token).replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((node, token) => node[token], document);
}

function templatePattern(template) {
  const segments = template.split('/').map((segment) => {
    const name = /^\{(.+)\}$/.exec(segment)?.[1];
    return name ? `(?<${name}>[^/]+)` : segment.replaceAll('.', '\\.');
  });
  return new RegExp(`^${segments.join('/')}$`);
}

export class Document {
  constructor(file) {
    this.service = path.basename(file, '.yaml');
    this.asWritten = YAML.parse(fs.readFileSync(file, 'utf8'));
    this.root = structuredClone(this.asWritten);
    modernize(this.root);
    closeObjects(this.root);
    this.bodies = this.compiler({ coerceTypes: false });
    this.texts = this.compiler({ coerceTypes: true });
    this.paths = Object.entries(this.root.paths).map(([template, item]) => this.path(template, item));
    // "/openapi.json" before "/{anything}", as the services route.
    this.paths.sort((a, b) => a.template.split('{').length - b.template.split('{').length);
    this.operations = this.paths.flatMap((each) => [...each.operations.values()]);
  }

  compiler({ coerceTypes }) {
    const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true, coerceTypes });
    addFormats(ajv);
    return ajv.addSchema(this.root, this.service);
  }

  path(template, item) {
    const operations = new Map();
    for (const method of METHODS.filter((each) => item[each])) {
      const node = this.resolve(item[method]);
      operations.set(method.toUpperCase(), {
        id: node.operationId,
        method: method.toUpperCase(),
        template,
        parameters: [...(item.parameters ?? []), ...(node.parameters ?? [])].map((p) => this.resolve(p)),
        requestBody: this.resolve(node.requestBody),
        responses: new Map(Object.entries(node.responses).map(([s, r]) => [s, this.resolve(r)])),
      });
    }
    return { template, pattern: templatePattern(template), operations };
  }

  // What a reference points to; anything else is itself.
  resolve(node) {
    return node?.$ref ? this.resolve(find(this.root, node.$ref)) : node;
  }

  find(pathname) {
    for (const each of this.paths) {
      const match = each.pattern.exec(pathname);
      if (match) return { path: each, params: match.groups ?? {} };
    }
    return null;
  }

  // The errors of a value, as one text; null if it fits.
  errorsOf(schema, value, ajv = this.bodies) {
    const validate = this.validator(ajv, schema);
    return validate(value) ? null : ajv.errorsText(validate.errors, { dataVar: '', separator: '; ' });
  }

  errorsOfText(schema, text) {
    return this.errorsOf(schema, text, this.texts);
  }

  // A schema is known by where it stands in the document, so that its references are found.
  validator(ajv, schema) {
    this.compiled ??= new Map();
    const known = this.compiled.get(ajv) ?? new Map();
    this.compiled.set(ajv, known);
    if (!known.has(schema)) known.set(schema, ajv.compile(this.closed(schema)));
    return known.get(schema);
  }

  // What others build upon, as they do on problems, stays open by itself, and is closed where used.
  closed(schema) {
    const { type, properties } = this.resolve(schema);
    const isAnyObject = type === 'object' && !properties;
    return { ...this.absolute(schema), ...(isAnyObject ? {} : { unevaluatedProperties: false }) };
  }

  absolute(node) {
    if (Array.isArray(node)) return node.map((each) => this.absolute(each));
    if (node === null || typeof node !== 'object') return node;
    return Object.fromEntries(
      Object.entries(node).map(([key, value]) => [
        key,
        key === '$ref' && typeof value === 'string' ? `${this.service}${value}` : this.absolute(value),
      ]),
    );
  }
}
