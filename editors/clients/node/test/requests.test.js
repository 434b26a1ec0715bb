// Requests and changes against the real daemon, which is killed in the middle.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmdirSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { RunlogError } from '../dist/runlog.js';
import { Place, binary, until } from './place.js';

const run = (id, more = {}) => ({
  id, projectId: 'p', status: 'completed', startedAt: '2025-10-15T05:02:46.569Z', costUSD: 0.01, steps: [], ...more,
});

test('a daemon is started, asked, and ended', async (t) => {
  const place = new Place(t);
  place.engineSaves('p', run('a'));
  const client = place.client();
  const list = await client.request('executions/list', { sync: true });
  assert.deepEqual(list.executions.map(({ id }) => id), ['a']);
  const saved = await client.request('executions/save', { projectId: 'p', execution: run('b', { costUSD: 0.02 }) });
  assert.equal((await client.request('executions/get', { projectId: 'p', executionId: 'b' })).version, saved.version);
  assert.equal((await client.request('executions/stats')).totalCostUSD, 0.03);
  const { pid } = await client.request('server/status');
  assert.deepEqual(await client.request('ping', {}), {});
  await client.close();
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  const hurried = place.client();
  const asked = assert.rejects(hurried.request('ping'), { kind: 'unreachable', retryable: false });
  await hurried.close();
  await asked;
  await assert.rejects(client.request('executions/list'), { name: 'RunlogError', kind: 'unreachable', retryable: false });
});

test('refusals are errors with what the protocol says of them', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const { version } = await client.request('executions/save', { projectId: 'p', execution: run('a') });
  await assert.rejects(client.request('executions/get', { projectId: 'p', executionId: 'b' }), { name: 'RunlogError', code: 404, kind: 'execution-not-found', retryable: false });
  await assert.rejects(client.request('executions/save', { projectId: 'p', execution: run('a'), ifVersion: 'none' }), (error) => {
    assert(error instanceof RunlogError);
    assert.deepEqual([error.code, error.kind, error.data.currentVersion], [409, 'version-conflict', version]);
    return true;
  });
  await assert.rejects(client.request('executions/list', { limit: 0 }), { code: -32602, kind: 'invalid-params' });
  // the daemon could not say whom its answer is for
  const long = 'x'.repeat(64 * 1024 * 1024);
  await assert.rejects(client.request('executions/save', { projectId: 'p', execution: run('c', { input: long }) }), { code: 413, kind: 'too-large' });
  const nested = (levels) => (levels > 1 ? [nested(levels - 1)] : []);
  await assert.rejects(client.request('executions/save', { projectId: 'p', execution: run('c', { input: nested(126) }) }), { code: 413, kind: 'too-large' });
  await client.request('executions/save', { projectId: 'p', execution: run('a', { input: nested(125) }) });
  await assert.rejects(client.request('executions/save', { projectId: 'p', execution: run('c', { input: 1n }) }), TypeError);
  // of these JSON would make null
  for (const input of [NaN, -Infinity, new Date(NaN)]) {
    const lost = client.request('executions/save', { projectId: 'p', execution: run('c', { input: [input] }) });
    await assert.rejects(lost, { name: 'RangeError', message: `0 cannot be told in JSON: ${inspect(input)}` });
  }
  assert.equal((await client.request('executions/list')).total, 1);
});

test('a request that is aborted is taken back', async (t) => {
  const place = new Place(t);
  const client = place.client();
  await client.request('executions/list');
  const already = AbortSignal.abort();
  await assert.rejects(client.request('executions/list', {}, { signal: already }), { name: 'AbortError' });
  const controller = new AbortController();
  const asked = client.request('executions/list', { sync: true }, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(asked, { message: 'enough' });
  assert.equal((await client.request('executions/list')).total, 0);
});

test('a socket that comes late is waited for', async (t) => {
  const place = new Place(t);
  const asked = place.client({ socket: place.socket }).request('server/status');
  await place.daemon();
  assert.equal((await asked).root.path, place.root);
});

test('a client stays where it was made', async (t) => {
  const place = new Place(t);
  await place.daemon();
  place.engineSaves('p', run('a'));
  const before = process.cwd();
  t.after(() => process.chdir(before));
  symlinkSync(binary, join(place.folder, 'program'));
  process.chdir(place.folder);
  const command = ['./program', 'serve'];
  const ways = [{ command, projects: 'projects' }, { command, projects: undefined }, { socket: 's.sock', patience: 1000 }];
  const clients = ways.map((way) => place.client(way));
  // where the root is named, the folder may go
  const gone = join(place.folder, 'gone');
  mkdirSync(gone);
  process.chdir(gone);
  clients.push(place.client());
  process.chdir('/');
  rmdirSync(gone);
  for (const client of clients) assert.equal((await client.request('server/status')).root.path, place.root);
});

test('what cannot be reached is told, at once where waiting is no use', async (t) => {
  const place = new Place(t);
  const nobody = place.client({ socket: place.socket, patience: 200 });
  await assert.rejects(nobody.request('executions/list'), { kind: 'unreachable', retryable: true });
  const began = Date.now();
  const missing = place.client({ command: ['/nowhere/runlog'] });
  await assert.rejects(missing.request('executions/list'), { kind: 'unreachable', message: /cannot be started/ });
  const refusing = place.client({ command: [binary, 'serve', '--no-such-flag'] });
  await assert.rejects(refusing.request('executions/list'), { kind: 'unreachable', message: /status 2/ });
  assert(Date.now() - began < 20_000);
});

test('a daemon is looked for as long as the patience lasts, and no longer', async (t) => {
  const client = new Place(t).client({ socket: '/nowhere/s.sock', patience: 1000 });
  for (const needs of [() => client.request('ping'), () => client.start({ projectId: 'p' }), () => client.changes().next()]) {
    const began = Date.now();
    await assert.rejects(needs(), { kind: 'unreachable', retryable: true });
    const lasted = Date.now() - began;
    assert(lasted >= 990 && lasted < 1900, `${lasted} ms`);
  }
});

test('a signal that many wait for is no leak', async (t) => {
  const warnings = [];
  const warn = (warning) => warnings.push(warning);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  const client = new Place(t).client();
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 20 }, () => client.request('ping', {}, { signal })));
  const iterations = Array.from({ length: 20 }, () => client.changes({ signal }));
  await Promise.all(iterations.map((changes) => changes.next()));
  await Promise.all(iterations.map((changes) => changes.return()));
  // it is told in a turn of its own
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});

test('an iteration for which there is no room is waited for, and then refused', async (t) => {
  const client = new Place(t).client({ patience: 300 });
  // a connection may have 256 at a time
  const all = Array.from({ length: 256 }, () => client.changes());
  await Promise.all(all.map((changes) => changes.next()));
  const began = Date.now();
  await assert.rejects(client.changes().next(), { code: 429, kind: 'overloaded' });
  assert(Date.now() - began >= 290);
  const waiting = client.changes().next();
  await all[0].return();
  assert.equal((await waiting).value.kind, 'current');
});

test('a daemon that takes in and says nothing is left in time', async (t) => {
  const place = new Place(t);
  const server = createServer().listen(place.socket);
  const taken = [];
  server.on('connection', (socket) => taken.push(socket.resume()));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  await assert.rejects(place.client({ socket: place.socket, patience: 100 }).request('ping'), { kind: 'unreachable', retryable: true });
  // nor does it hold up who does not want to wait
  const patient = place.client({ socket: place.socket });
  const end = new AbortController();
  const aborted = patient.request('ping', {}, { signal: end.signal });
  const closed = patient.request('ping');
  await until(() => taken.length >= 2, 'the second to be taken in');
  end.abort();
  await assert.rejects(aborted, { name: 'AbortError' });
  await patient.close();
  await assert.rejects(closed, { kind: 'unreachable', retryable: false });
  await until(() => taken.every((socket) => socket.closed), 'no socket to be left open');
});

test('a daemon that takes in and does not end has no more time than one that is not there', async (t) => {
  const place = new Place(t);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    t.after(() => socket.destroy());
    socket.resume();
  }).listen(place.socket);
  t.after(() => void server.close());
  const began = Date.now();
  await assert.rejects(place.client({ socket: place.socket, patience: 100 }).request('ping'), { kind: 'unreachable', retryable: true });
  assert(Date.now() - began < 2000);
});

test('what is asked while a lost daemon ends goes to another one', async (t) => {
  const place = new Place(t);
  const pid = join(place.folder, 'pid');
  // its output ends, and it goes on
  const program = `
    exec 3<&0
    "$0" "$@" <&3 3<&- & echo $! > '${pid}'
    wait
    exec 1>&-
    sleep 2
  `;
  const client = place.client({ command: ['sh', '-c', program, binary, 'serve'] });
  await client.request('ping');
  const began = Date.now();
  process.kill(Number(readFileSync(pid, 'utf-8')), 'SIGKILL');
  // what is in flight is lost only once it cannot be answered by anybody
  const data = { kind: 'daemon-lost', retryable: true, outcome: 'unknown' };
  const lost = assert.rejects(client.request('ping'), { data });
  await until(() => client['connection'] === undefined, 'the loss');
  await client.request('executions/save', { projectId: 'p', execution: run('a') });
  assert(Date.now() - began < 1900);
  await lost;
  assert(Date.now() - began >= 1900);
  process.kill(Number(readFileSync(pid, 'utf-8')), 'SIGKILL');
  await until(() => client['connection'] === undefined, 'the loss');
  // which is waited for
  await client.close();
  assert(Date.now() - began >= 3900);
});

for (const way of ['socket', 'spawned']) {
  test(`what is asked or taken back while a client is closed breaks nothing off (${way})`, async (t) => {
    const place = new Place(t);
    if (way === 'socket') await place.daemon();
    const client = place.client(way === 'socket' ? { socket: place.socket } : {});
    await client.request('ping');
    const input = 'x'.repeat(1 << 20);
    const save = (id) => client.request('executions/save', { projectId: 'p', execution: run(id, { input }) });
    const saved = Promise.all(Array.from({ length: 20 }, (_, number) => save(`run-${number}`)));
    const end = new AbortController();
    const aborted = client.request('executions/list', { sync: true }, { signal: end.signal }).catch(() => undefined);
    const connection = await client['connection'];
    const closed = client.close();
    await until(() => !connection.output.writable, 'its end');
    end.abort();
    await assert.rejects(client.request('ping'), { retryable: true, data: { kind: 'daemon-lost', retryable: true } });
    await Promise.all([saved, aborted, closed]);
  });
}

test('what holds the output of a daemon does not hold up who closes its client', async (t) => {
  const client = new Place(t).client({ command: ['sh', '-c', 'sleep 15 2>/dev/null & exec "$0" "$@"', binary, 'serve'] });
  await client.request('ping');
  const began = Date.now();
  await client.close();
  assert(Date.now() - began < 10_000);
});

for (const way of ['socket', 'spawned', 'shared']) {
  test(`a program goes on as long as it waits for something (${way})`, { timeout: 60_000 }, async (t) => {
    const place = new Place(t);
    if (way === 'socket') await place.daemon();
    const client = way === 'shared' ? place.shared() : place.client(way === 'socket' ? { socket: place.socket } : {});
    await client.request('ping');
    /** Runs it, with a client of that way: it ends by itself. */
    const ends = async (program, meanwhile) => {
      const module = `
        import { Client } from ${JSON.stringify(import.meta.resolve('../dist/runlog.js'))};
        const client = new Client(${JSON.stringify(client['options'])});
        ${program}
      `;
      const child = spawn(process.execPath, ['--input-type=module', '-e', module], { stdio: ['ignore', 'pipe', 'inherit'] });
      place.ends.push(() => child.kill('SIGKILL'));
      let said = '';
      child.stdout.on('data', (text) => (said += text));
      const closed = once(child, 'close');
      await meanwhile?.(() => said);
      assert.deepEqual(await closed, [0, null]);
      return said;
    };
    await ends(`
      await client.request('ping');
      await client.run({ projectId: 'p' }, (run) => run.add({ input: 1 }));
      for await (const change of client.changes()) break;
      await client.start({ projectId: 'p' });
      await client.request('executions/get', { projectId: 'p', executionId: 'none' }).catch(() => undefined);
    `);
    // for what was told, and for what is asked, though it does not wait for that itself
    await ends(`
      const run = await client.start({ projectId: 'p', id: 'a' });
      for (let count = 0; count < 20; count++) void run.set({ count });
      void client.request('executions/save', { projectId: 'p', execution: { id: 'b', input: 'x'.repeat(8 << 20) } });
    `);
    assert.equal(place.record('p', 'a').count, 19);
    assert.equal(place.record('p', 'b').input.length, 8 << 20);
    const told = await ends(`
      for await (const change of client.changes()) {
        if (change.kind === 'current') console.log('current');
        if (change.kind === 'saved') break;
      }
      console.log('told');
    `, async (said) => {
      await until(() => said() === 'current\n', 'the iteration');
      await new Promise((resolve) => setTimeout(resolve, 300));
      place.engineSaves('p', run('c'));
    });
    assert.match(told, /^(current\n)+told\n$/);
    assert.equal(await ends(`
      await client.request('ping');
      await client.close();
      console.log('closed');
    `), 'closed\n');
  });
}

test('what is large or looks like the end of a line comes through whole', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const input = '\u2028\u2029\u0085\r\né😀'.repeat(2 ** 16);
  await client.request('executions/save', { projectId: 'p', execution: run('a', { input }) });
  const { execution } = await client.request('executions/get', { projectId: 'p', executionId: 'a' });
  assert(execution.input === input);
});

/** Asks again where the daemon died before it answered. */
async function asked(client, method, params) {
  for (;;) {
    try {
      return await client.request(method, params);
    } catch (error) {
      if (error.kind !== 'daemon-lost') throw error;
      assert(error.retryable);
      // of what several daemons died over, the shared one's window knows that nothing was changed
      assert(['unknown', undefined].includes(error.data.outcome));
    }
  }
}

/** A table that is kept by what is told, as the README says. */
async function keep(table, client, options) {
  const list = async () => {
    const page = await asked(client, 'executions/list', { limit: 1000, sync: true });
    table.clear();
    for (const run of page.executions) table.set(run.id, run.version);
    return page.clock;
  };
  for (;;) {
    let { since } = options;
    since ??= await list();
    for await (const change of client.changes({ ...options, since })) {
      if (change.kind === 'saved') table.set(change.summary.id, change.summary.version);
      if (change.kind === 'deleted') table.delete(change.executionId);
      if (change.kind === 'resync') break;
    }
    if (options.signal.aborted) return;
  }
}

for (const way of ['socket', 'spawned', 'shared']) {
  test(`changes outlive the daemon (${way})`, async (t) => {
    const place = new Place(t);
    let daemon = way === 'socket' ? await place.daemon() : undefined;
    const client = way === 'shared' ? place.shared() : place.client(way === 'socket' ? { socket: place.socket } : {});
    const table = new Map();
    const end = new AbortController();
    const kept = keep(table, client, { signal: end.signal }).catch((error) => {
      if (!end.signal.aborted) throw error;
    });
    for (let number = 0; number < 120; number++) {
      place.engineSaves('p', run(`run-${number % 40}`, { costUSD: number }));
      if (number % 30 === 15) {
        if (daemon) {
          await daemon.kill();
          daemon = await place.daemon();
        } else {
          const { pid } = await asked(client, 'server/status');
          process.kill(pid, 'SIGKILL');
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
    const other = place.client();
    const list = await other.request('executions/list', { limit: 1000, sync: true });
    assert.equal(list.total, 40);
    const wanted = new Map(list.executions.map(({ id, version }) => [id, version]));
    await until(() => {
      try {
        assert.deepEqual(new Map([...table].sort()), new Map([...wanted].sort()));
        return true;
      } catch {
        return false;
      }
    }, 'the table to be what is listed');
    end.abort();
    await kept;
  });
}

test('a slow consumer costs bounded memory and misses no last state', { timeout: 120_000 }, async (t) => {
  const place = new Place(t);
  await place.daemon();
  const client = place.client({ socket: place.socket });
  const changes = client.changes();
  const { value: first } = await changes.next();
  assert.equal(first.kind, 'current');
  const writer = place.client({ socket: place.socket });
  const many = 3000;
  for (let number = 0; number < many; number += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, at) => (
      writer.request('executions/save', { projectId: 'p', execution: run(`run-${at}`, { costUSD: number }) }))));
  }
  const list = await writer.request('executions/list');
  const wanted = new Map(list.executions.map(({ id, version }) => [id, version]));
  const table = new Map();
  let told = 0;
  for await (const change of changes) {
    told++;
    if (change.kind === 'saved') table.set(change.summary.id, change.summary.version);
    if (change.kind === 'current' && change.clock === list.clock) break;
  }
  assert.deepEqual(new Map([...table].sort()), new Map([...wanted].sort()));
  assert(told <= 1000 + 20 + 2, `${told} were told`);
  // and the subscription that nobody reads is over
  assert.deepEqual(await changes.next(), { value: undefined, done: true });
});

test('an iteration ends with its client, and with its signal', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const end = new AbortController();
  const aborted = client.changes({ signal: end.signal });
  await aborted.next();
  const waiting = aborted.next();
  end.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  const closed = client.changes({ projectId: 'p', status: ['failed'], where: 'costUSD > 1' });
  await closed.next();
  const rest = closed.next();
  await client.close();
  assert.deepEqual(await rest, { value: undefined, done: true });
});
