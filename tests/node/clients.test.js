// vscode-jsonrpc, as editors use it, over both transports; and the OpenRPC document.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateOpenRPCDocument } from '@open-rpc/schema-utils-js';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import { changesOf, engineSaves, makeRoot, onSocket, overStdio } from './daemon.js';

const run = (id, more = {}) => ({
  id, projectId: 'p', status: 'completed', startedAt: '2025-10-15T05:02:46.569Z', steps: [], ...more,
});

test('an editor over stdio: initialize, list, live change, shutdown, exit', async (t) => {
  const root = makeRoot(t);
  engineSaves(root, 'p', run('a'));
  const { connection, ended } = overStdio(t, root);
  const hello = await connection.sendRequest('initialize', { processId: process.pid, rootUri: null });
  assert.equal(hello.protocolVersion, 1);
  connection.sendNotification('initialized', {});
  const list = await connection.sendRequest('executions/list', { projectId: 'p' });
  assert.deepEqual(list.executions.map((one) => one.id), ['a']);
  const changes = changesOf(connection);
  const id = await connection.sendRequest('executions/subscribe', { since: list.clock });
  assert.equal((await changes.next()).kind, 'current');
  engineSaves(root, 'p', run('b', { status: 'running' }));
  const change = await changes.next();
  assert.equal(change.kind, 'saved');
  assert.equal(change.created, true);
  assert.equal(change.summary.id, 'b');
  // a string by position, as this library sends a single parameter
  assert.equal(await connection.sendRequest('executions/unsubscribe', { subscription: id }), true);
  assert.equal(await connection.sendRequest('shutdown'), null);
  connection.sendNotification('exit');
  assert.equal(await ended, 0);
});

test('requests without params, and errors with their data', async (t) => {
  const { connection } = overStdio(t, makeRoot(t));
  assert.deepEqual(await connection.sendRequest('ping'), {});
  assert.equal((await connection.sendRequest('executions/stats')).totalExecutions, 0);
  await assert.rejects(
    connection.sendRequest('executions/get', { projectId: 'p', executionId: 'x' }),
    (error) => error.code === 404 && error.data.kind === 'execution-not-found');
  await assert.rejects(
    connection.sendRequest('executions/lits'),
    (error) => error.code === -32601 && error.data.nearest === 'executions/list');
});

test('a cancelled request is answered as cancelled or done', async (t) => {
  const { connection } = overStdio(t, makeRoot(t));
  const source = new CancellationTokenSource();
  const answer = connection.sendRequest('executions/list', { sync: true }, source.token);
  source.cancel();
  await answer.then((list) => assert.equal(list.total, 0), (error) => assert.equal(error.code, -32800));
});

test('two clients of a socket see what the other one does', async (t) => {
  const root = makeRoot(t);
  const daemon = await onSocket(t, root);
  const [one, other] = [await daemon.connect(), await daemon.connect()];
  const changes = changesOf(other);
  await other.sendRequest('executions/subscribe', { projectId: 'p' });
  assert.equal((await changes.next()).kind, 'current');
  const saved = await one.sendRequest('executions/save', { projectId: 'p', execution: run('a') });
  assert.equal(saved.created, true);
  const told = await changes.next();
  assert.deepEqual([told.kind, told.summary.version], ['saved', saved.version]);
  assert.equal(told.clock, saved.clock);
  await one.sendRequest('executions/delete', { projectId: 'p', executionId: 'a' });
  assert.deepEqual((await changes.next()).executionId, 'a');
  assert.equal((await other.sendRequest('executions/list')).total, 0);
});

test('the OpenRPC document is valid against the official meta-schema', async (t) => {
  const { connection } = overStdio(t, makeRoot(t));
  const document = await connection.sendRequest('rpc.discover');
  // the validator returns its error instead of throwing it
  assert.equal(validateOpenRPCDocument(document), true);
  assert.notEqual(validateOpenRPCDocument({ ...document, methods: 7 }), true);
});
