// Records both ways: what Node writes is listed and given untouched, and what runlog stores is byte
// for byte what Node would have written, with the exceptions of section 6 of the protocol.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { engineSaves, makeRoot } from './daemon.js';

/** The daemon as bytes: one line in, one line out. */
function raw(t, root) {
  const child = spawn(process.env.RUNLOG_BINARY, ['serve', '--projects', root], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise((resolve) => child.on('exit', resolve));
  t.after(async () => {
    child.kill();
    await ended;
  });
  return async (method, params) => {
    child.stdin.write(`{"jsonrpc":"2.0","id":1,"method":"${method}","params":${params}}\n`);
    return (await lines.next()).value;
  };
}

// Values that JSON.parse and JSON.stringify keep: the stored bytes must be Node's own.
const kept = {
  numbers: [0, 1, -1, 1e21, 1e-7, 123456789012345680000, 0.1, 5e-324, 1.7976931348623157e308],
  strings: ['', 'é日本😀', '\u0000\u0001\u001f\u007f\u0080\u2028\u2029', '"\\/\b\f\n\r\t', '\ud800', '\udc00x', 'a\ud83d'],
  nested: { a: [[], {}, [[{ b: null }]]], c: { d: { e: [true, false] } } },
  keys: { '': 1, 'é': 2, '\ud800': 3, 'a b': 4, '"': 5, __proto__x: 6 },
  long: 'x'.repeat(10 * 1024 * 1024) + '\u0007😀',
};

test('what Node writes is listed, and given untouched', async (t) => {
  const root = makeRoot(t);
  const file = engineSaves(root, 'p', { id: 'node', projectId: 'p', status: 'failed', costUSD: 1e-7, ...kept });
  const ask = raw(t, root);
  const list = JSON.parse(await ask('executions/list', '{"sync":true}')).result;
  assert.deepEqual(list.executions.map((one) => [one.id, one.status, one.costUSD]), [['node', 'failed', 1e-7]]);
  assert.equal(list.executions[0].sizeBytes, readFileSync(file).length);
  const line = await ask('executions/get', '{"projectId":"p","executionId":"node"}');
  // between lines, line ends around tokens become spaces; nothing else changes
  const text = readFileSync(file, 'utf8').replaceAll('\n', ' ');
  assert.ok(line.includes(`"execution":${text},"version"`));
});

test('what others write is given as they spelt it', async (t) => {
  const root = makeRoot(t);
  const ask = raw(t, root);
  mkdirSync(join(root, 'p', 'executions'), { recursive: true });
  const text = '{"a":1.0,"b":1e400,"c":-0,"d":12345678901234567890,"e":"\\ud800\\u0041","2":0,"1":0,"a":2,"costUSD":1.0e-3}';
  writeFileSync(join(root, 'p', 'executions', 'odd.json'), text);
  const line = await ask('executions/get', '{"projectId":"p","executionId":"odd"}');
  assert.ok(line.includes(`"execution":${text},`));
  const list = JSON.parse(await ask('executions/list', '{"sync":true}')).result;
  assert.equal(list.executions[0].costUSD, 0.001);
});

test('what is saved is what Node would have written', async (t) => {
  const root = makeRoot(t);
  const ask = raw(t, root);
  for (const [name, value] of Object.entries(kept)) {
    const execution = { id: name, projectId: 'p', value };
    const answer = JSON.parse(await ask('executions/save', JSON.stringify({ projectId: 'p', execution })));
    assert.equal(answer.error, undefined);
    const stored = readFileSync(join(root, 'p', 'executions', `${name}.json`));
    assert.ok(stored.equals(Buffer.from(JSON.stringify(execution, null, 2))), name);
  }
});

test('numbers keep their spelling and keys their order; repeated keys are refused', async (t) => {
  const root = makeRoot(t);
  const ask = raw(t, root);
  const execution = '{"id":"s","2":[1.0,1e400,-0,12345678901234567890,1E2],"1":{"é":"\\u00e9\\/"}}';
  await ask('executions/save', `{"projectId":"p","execution":${execution}}`);
  const stored = readFileSync(join(root, 'p', 'executions', 's.json'), 'utf8');
  assert.equal(stored, '{\n  "id": "s",\n  "2": [\n    1.0,\n    1e400,\n    -0,\n    12345678901234567890,\n    1E2\n  ],\n' +
    '  "1": {\n    "é": "é/"\n  }\n}');
  const refused = JSON.parse(await ask('executions/save', '{"projectId":"p","execution":{"id":"r","a":1,"\\u0061":2}}'));
  assert.equal(refused.error.code, -32602);
});
