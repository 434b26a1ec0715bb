// The recorder against the real daemon: what it writes, and that nothing is lost or counted twice.
import assert from 'node:assert/strict';
import processes, { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, renameSync, statSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { RunlogError } from '../dist/runlog.js';
import { binary, Place, until } from './place.js';

test('a run is one whole record from its beginning to its end', async (t) => {
  const place = new Place(t);
  const client = place.client();
  let id;
  const answer = await client.run({ projectId: 'p', name: 'Nightly', input: 'go' }, async (run) => {
    id = run.id;
    assert.match(id, /^exec-\d{13}-[0-9a-z]{9}$/);
    assert.equal(place.record('p', id).status, 'running');
    const found = await run.step({ name: 'search', nodeId: 'n1', input: { q: 1 } }, async (step) => {
      await step.add({ costUSD: 0.1, input: 10, output: 1 });
      await step.add({ costUSD: 0.2, output: 4 });
      await step.set({ output: [1, null], model: 'm' });
      return 'found';
    });
    assert.equal(found, 'found');
    await run.step('write', () => undefined);
    await run.add({ costUSD: 0.4, input: 5 });
    await run.set({ output: 'done' });
    return 42;
  });
  assert.equal(answer, 42);
  const record = place.record('p', id);
  assert.equal(record.status, 'completed');
  assert.equal(record.name, 'Nightly');
  assert.equal(record.input, 'go');
  assert.equal(record.output, 'done');
  assert.equal(record.costUSD, 0.7);
  assert.deepEqual(record.tokenUsage, { input: 15, output: 5, total: 20 });
  assert.equal(record.duration, Date.parse(record.completedAt) - Date.parse(record.startedAt));
  const [search, write] = record.steps;
  assert.equal(Date.parse(search.completedAt) - Date.parse(search.startedAt), search.duration);
  assert.deepEqual({ ...search, startedAt: 0, completedAt: 0, duration: 0 }, {
    nodeId: 'n1', nodeType: 'agent', status: 'completed', startedAt: 0, name: 'search', input: { q: 1 },
    id: 'step-1', costUSD: 0.3, tokenUsage: { input: 10, output: 5, total: 15 }, output: [1, null], model: 'm',
    completedAt: 0, duration: 0,
  });
  assert.deepEqual([write.id, write.nodeId, write.status], ['step-2', 'write', 'completed']);
});

test('what is lacking for a moment is waited for, and a heartbeat may be never', async (t) => {
  const place = new Place(t);
  const warnings = [];
  process.on('warning', ({ name }) => warnings.push(name));
  const lacking = ['EMFILE', 'EAGAIN'];
  const works = processes.spawn;
  t.mock.method(processes, 'spawn', (...args) => {
    const code = lacking.pop();
    if (code) throw Object.assign(new Error('lacking'), { code });
    return works(...args);
  });
  syncBuiltinESMExports();
  const id = await place.client({ heartbeat: Infinity }).run({ projectId: 'p' }, async (run) => {
    await run.add({ costUSD: 0.5 });
    return run.id;
  });
  t.mock.restoreAll();
  syncBuiltinESMExports();
  const { status, costUSD } = place.record('p', id);
  assert.deepEqual([lacking, warnings, status, costUSD], [[], [], 'completed', 0.5]);
});

test('what is recorded when its client is closed ends as cancelled', async (t) => {
  const place = new Place(t);
  const client = place.client();
  let began = 0;
  let done;
  const closed = new Promise((resolve) => (done = resolve));
  const work = (number) => client.run({ projectId: 'p', id: `run-${number}` }, (run) =>
    run.step('search', async () => {
      began += 1;
      if (number > 0) return await closed;
      await until(() => began === 3, 'all to begin');
      throw new TypeError('no index');
    }));
  const all = [0, 1, 2].map(work);
  await assert.rejects(Promise.all(all), TypeError);
  await client.close();
  const check = () => {
    for (const [number, status] of ['failed', 'cancelled', 'cancelled'].entries()) {
      const record = place.record('p', `run-${number}`);
      assert.deepEqual([record.status, record.steps[0].status], [status, status]);
    }
  };
  check();
  done();
  await Promise.allSettled(all);
  check();
});

test('what begins while its client is closed is refused, or ends', async (t) => {
  const place = new Place(t);
  const ids = [];
  for (let round = 1; round <= 5; round++) {
    const client = place.client();
    const work = async () => {
      for (;;) {
        await client.run({ projectId: 'p' }, async (run) => {
          ids.push(run.id);
          for (;;) await run.step('s', (step) => step.add({ input: 1 }));
        });
      }
    };
    const all = Array.from({ length: 6 }, () => assert.rejects(work, { kind: 'unreachable', retryable: false }));
    await until(() => ids.length === 6 * round, 'all to begin');
    await client.close();
    await Promise.all(all);
  }
  for (const id of ids) {
    const { status, steps } = place.record('p', id);
    assert.equal(status, 'cancelled');
    assert(steps.every(({ status }) => status !== 'running'));
  }
});

test('a run ends as its code does', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const ids = [];
  const failing = client.run({ projectId: 'p' }, async (run) => {
    ids.push(run.id);
    await run.step('search', () => {
      throw new TypeError('no index');
    });
  });
  await assert.rejects(failing, TypeError);
  const thrown = Object.create(null);
  const odd = client.run({ projectId: 'p', id: 'odd' }, (run) => run.step('s', () => Promise.reject(thrown)));
  assert.equal(await odd.catch((error) => error), thrown);
  assert.equal(place.record('p', 'odd').steps[0].error, 'its text cannot be had');
  const long = client.run({ projectId: 'p', id: 'long' }, () => Promise.reject(new Error('x'.repeat(65 * 2 ** 20))));
  await assert.rejects(long, Error);
  const { status, error } = place.record('p', 'long');
  assert.deepEqual([status, error], ['failed', `Error: ${'x'.repeat(8192 - 'Error: '.length)}`]);
  const failed = place.record('p', ids[0]);
  assert.deepEqual([failed.status, failed.error], ['failed', 'TypeError: no index']);
  assert.deepEqual([failed.steps[0].status, failed.steps[0].error], ['failed', 'TypeError: no index']);
  const controller = new AbortController();
  const cancelled = client.run({ projectId: 'p' }, async (run) => {
    ids.push(run.id);
    await run.step('search', () => {
      controller.abort();
      controller.signal.throwIfAborted();
    });
  });
  await assert.rejects(cancelled, { name: 'AbortError' });
  const record = place.record('p', ids[1]);
  assert.deepEqual([record.status, record.error, record.steps[0].status], ['cancelled', undefined, 'cancelled']);
  // what somebody else ended cannot go on
  const ended = client.run({ projectId: 'p' }, async (run) => {
    await client.request('executions/update', { projectId: 'p', executionId: run.id, set: { status: 'cancelled' } });
    await run.add({ costUSD: 1 });
  });
  await assert.rejects(ended, { name: 'RunlogError', code: 409, kind: 'already-finished' });
  // and an end that the body chose stays
  const own = await client.start({ projectId: 'p', id: 'own' });
  for (const word of ['success', 'paused', null]) {
    await assert.rejects(own.finish(word), { name: 'TypeError', message: /completed or failed or cancelled/ });
  }
  assert.equal(place.record('p', 'own').status, 'running');
  await own.finish('failed', { error: 'by hand' });
  await own.finish('completed');
  assert.deepEqual([place.record('p', 'own').status, place.record('p', 'own').error], ['failed', 'by hand']);
  await assert.rejects(client.start({ projectId: 'p', id: 'own' }), { code: 409, kind: 'already-exists' });
});

for (const listens of [false, true]) {
  const then = listens ? 'is left to a program that listens for it' : 'cancels what is being recorded';
  test(`a Ctrl-C ${then}`, async (t) => {
    const place = new Place(t);
    const program = `
      import { Client } from ${JSON.stringify(import.meta.resolve('../dist/runlog.js'))};
      const client = new Client({ command: [${JSON.stringify(binary)}, 'serve'], projects: ${JSON.stringify(place.root)} });
      let over = false;
      if (${listens}) process.once('SIGINT', () => (over = true));
      await client.run({ projectId: 'p', id: 'ended' }, () => undefined);
      await Promise.all(['a', 'b'].map((id) => client.run({ projectId: 'p', id }, (run) => run.step('s', async (step) => {
        console.log(id);
        while (!over) await step.add({ input: 1 });
      }))));
      await client.close();
      process.exitCode = 3;
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    place.ends.push(() => child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    let said = '';
    child.stdout.on('data', (text) => (said += text));
    await until(() => said.length === 4, 'both runs');
    child.kill('SIGINT');
    assert.deepEqual(await exited, listens ? [3, null] : [null, 'SIGINT']);
    for (const id of ['a', 'b']) {
      const { status, steps: [step] } = place.record('p', id);
      assert.deepEqual([status, step.status], listens ? ['completed', 'completed'] : ['cancelled', 'cancelled']);
      assert(step.completedAt);
    }
  });
}

test('a Ctrl-C that comes with the end of what is recorded is not lost', async () => {
  const program = `
    import { Client } from ${JSON.stringify(import.meta.resolve('../dist/runlog.js'))};
    const client = new Client();
    client.request = async () => {
      process.kill(process.pid, 'SIGINT');
      throw new Error('refused');
    };
    await client.run({ projectId: 'p' }, () => undefined).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 10_000));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGINT']);
});

test('what was told is written before a client is closed', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const run = await client.start({ projectId: 'p', id: 'a' });
  const told = Array.from({ length: 20 }, (_, number) => run.set({ name: `name ${number}` }));
  await client.close();
  await Promise.all(told);
  assert.equal(place.record('p', 'a').name, 'name 19');
});

test('closing waits for a daemon that is away, as long as the patience lasts, and for a disk that is full', async (t) => {
  const place = new Place(t);
  let over;
  const closed = new Promise((resolve) => (over = resolve));
  t.after(over);
  /** A run that goes on until that; what becomes of it. */
  const record = async (client, id) => {
    let told;
    await new Promise((begun) => {
      told = client.run({ projectId: 'p', id }, () => (begun(), closed));
    });
    return { told };
  };
  let daemon = await place.daemon();
  const client = place.client({ socket: place.socket });
  await record(client, 'away');
  await daemon.kill();
  const closing = client.close();
  daemon = await place.daemon();
  await closing;
  assert.equal(place.record('p', 'away').status, 'cancelled');

  const full = place.client();
  let times = 2;
  await record(full, 'full');
  const request = full.request.bind(full);
  full.request = async (...asked) => {
    if (times-- > 0) throw new RunlogError(507, 'the disk is full', { kind: 'storage-full', retryable: true });
    return await request(...asked);
  };
  await full.close();
  assert.equal(place.record('p', 'full').status, 'cancelled');

  const hasty = place.client({ socket: place.socket, patience: 500 });
  const { told } = await record(hasty, 'gone');
  await daemon.kill();
  const refused = assert.rejects(told, { kind: 'unreachable' });
  const began = Date.now();
  await hasty.close();
  assert(Date.now() - began > 450);
  over();
  await refused;
});

test('what was told while the first connection is made is written', async (t) => {
  const place = new Place(t);
  const client = place.client();
  let over;
  const closed = new Promise((resolve) => (over = resolve));
  const told = client.run({ projectId: 'p', id: 'a' }, () => closed);
  await client.close();
  assert.equal(place.record('p', 'a').status, 'cancelled');
  over();
  await told;
});

test('what may not last is written until it does', async (t) => {
  const place = new Place(t);
  const client = place.client({ patience: 1000 });
  const request = client.request.bind(client);
  let written;
  /** The disk refuses the last step of so many writes; `then` it is full for what writes that again, or the record is away for a moment. */
  const mayNotLast = (times, then = 'passes') => {
    written = [];
    client.request = async (method, params) => {
      if (then === 'is full' && method === 'executions/update' && !params.add) {
        throw new RunlogError(507, 'the disk is full', { kind: 'storage-full', retryable: true });
      }
      if (then === 'is away' && written.length === times && method === 'executions/update') {
        written.push('away');
        throw new RunlogError(404, 'there is no such execution', { kind: 'execution-not-found' });
      }
      const result = await request(method, params);
      if (result.version && method !== 'executions/get' && written.push(method) <= times) {
        const data = { kind: 'storage', retryable: true, outcome: 'unknown' };
        throw new RunlogError(500, 'it was changed, but it cannot be told whether that will last', data);
      }
      return result;
    };
  };
  mayNotLast(2);
  const run = await client.start({ projectId: 'p', id: 'a' });
  assert.deepEqual(written, ['executions/start', 'executions/update', 'executions/update']);
  mayNotLast(2);
  await run.add({ costUSD: 1 });
  assert.equal(written.length, 3);
  mayNotLast(1, 'is away');
  await run.add({ input: 5 });
  assert.equal(place.record('p', 'a').tokenUsage.input, 5);
  const unknown = { kind: 'storage', retryable: false, outcome: 'unknown' };
  for (const [costUSD, ...how] of [[2, 1000], [4, 1, 'is full']]) {
    mayNotLast(...how);
    // whoever added it again would count it twice
    await assert.rejects(run.add({ costUSD }), { kind: 'storage', retryable: false, data: unknown });
  }
  mayNotLast(0);
  await run.add({ costUSD: 8 });
  assert.equal(place.record('p', 'a').costUSD, 15);
  // what has ended cannot be written again
  mayNotLast(1);
  await assert.rejects(run.finish(), { kind: 'storage', retryable: false, data: unknown });
});

test('many recorders that wait for the daemon are no leak', async (t) => {
  const warnings = [];
  const warn = (warning) => warnings.push(warning);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  const client = new Place(t).client();
  let refusals = 20;
  const work = async () => {
    if (refusals-- > 0) throw new RunlogError(503, 'not yet', { retryable: true });
  };
  await Promise.all(Array.from({ length: 20 }, () => client.patiently(work)));
  // it is told in a turn of its own
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});

test('what cannot be recorded is refused, and the rest of it is not', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const run = await client.start({ projectId: 'p' });
  for (const costUSD of [-1, NaN, 1e-31, '1']) {
    const message = `costUSD must be a number of at most 30 decimal places that is not negative: ${inspect(costUSD)}`;
    await assert.rejects(run.add({ costUSD }), { name: 'RangeError', message });
  }
  for (const input of [-1, 0.5, Infinity, 2 ** 53, '1']) {
    const message = `input must be a whole number below 2^53 that is not negative: ${inspect(input)}`;
    await assert.rejects(run.add({ input }), { name: 'RangeError', message });
  }
  await assert.rejects(run.add({ cost: 1, input: 1 }), { name: 'TypeError', message: /and no cost$/ });
  // else the end of what `run` records would be refused
  await assert.rejects(run.set({ status: 'completed', output: 'o' }), { name: 'TypeError', message: /by `finish`/ });
  const several = await Promise.allSettled([
    run.add({ costUSD: 0.1 }), run.step('a', () => undefined), run.step({ name: 'b', input: 1n }, () => undefined),
    run.add({ costUSD: 0.2, input: 1 }), run.set({ id: 'other' }), run.add({ costUSD: 0.3 }),
  ]);
  assert.deepEqual(several.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled']);
  await run.finish();
  const record = place.record('p', run.id);
  assert.equal(record.costUSD, 0.6);
  assert.equal(record.tokenUsage.total, 1);
  assert.deepEqual(record.steps.map(({ name }) => name), ['a']);
});

test('what is refused of a step is counted neither in it nor in the run', async (t) => {
  const place = new Place(t);
  const client = place.client();
  await client.run({ projectId: 'p', id: 'a' }, (run) => run.step('s', async (step) => {
    await step.add({ costUSD: 1, input: 10 });
    // more than can be counted
    await assert.rejects(step.add({ costUSD: 1e10, input: 10 }), { code: -32602 });
    const several = await Promise.allSettled([{ costUSD: 1 }, { costUSD: 1e10 }, { input: 10 }].map(step.add));
    assert.deepEqual(several.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
  }));
  const { costUSD, tokenUsage, steps: [step] } = place.record('p', 'a');
  assert.deepEqual([costUSD, tokenUsage.total, step.costUSD, step.tokenUsage.total], [2, 20, 2, 20]);
});

test('a step takes no other one in, and one that comes again goes on', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const planned = { id: 'step-2', name: 'planned', costUSD: 5 };
  await client.run({ projectId: 'p', id: 'a', steps: [planned], costUSD: 5 }, async (run) => {
    await run.step({ id: 'step-1', name: 'given' }, (step) => step.add({ costUSD: 1 }));
    await run.step('made up', (step) => step.add({ costUSD: 1 }));
    for (const input of [5, 6]) await run.step({ id: 'again' }, (step) => step.add({ costUSD: 1, input }));
  });
  const { costUSD, steps } = place.record('p', 'a');
  assert.equal(costUSD, 9);
  assert.deepEqual(steps.map(({ id, name, costUSD }) => [id, name, costUSD]),
    [['step-2', 'planned', 5], ['step-1', 'given', 1], ['step-3', 'made up', 1], ['again', undefined, 2]]);
  assert.equal(steps[3].tokenUsage.total, 11);
});

test('what is added to a step comes on top of what was told of it', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const tokenUsage = { input: 10, output: 5, cached: 8, total: 23 };
  await client.run({ projectId: 'p', id: 'a', steps: [{ id: 'planned', costUSD: 5 }] }, async (run) => {
    await run.step({ name: 'one', costUSD: 1.5, tokenUsage }, async (step) => {
      tokenUsage.input = 99;
      await Promise.all([{ costUSD: 0.1, input: 1 }, { output: 2 }].map(step.add));
    });
    await run.step({ name: 'two', tokenUsage: { input: 3 } }, async (step) => {
      await step.add({ costUSD: 4 });
      await Promise.all([step.set({ costUSD: 2 }), step.add({ costUSD: 0.25, output: 1 })]);
    });
    await run.step({ name: 'three', id: 'planned' }, async (step) => {
      await step.add({ costUSD: 1 });
      assert.equal(place.record('p', 'a').steps[0].costUSD, 6);
      await step.set({ costUSD: 'free' });
      await assert.rejects(step.add({ costUSD: 1 }), RangeError);
      await step.set({ costUSD: null });
      await step.add({ costUSD: 1 });
    });
  });
  const [planned, one, two] = place.record('p', 'a').steps;
  assert.deepEqual([planned.costUSD, one.costUSD, two.costUSD], [1, 1.6, 2.25]);
  assert.deepEqual(one.tokenUsage, { input: 11, output: 7, cached: 8, total: 26 });
  assert.deepEqual(two.tokenUsage, { input: 3, output: 1, total: 4 });
});

test('sums are exact', async (t) => {
  const place = new Place(t);
  const amounts = [4291.39, 0.1, 1e-30, 1e-12, 123456.12345678, 1234567.1];
  await place.client().run({ projectId: 'p', id: 'a' }, (run) => run.step({ name: 's', output: '0.1' }, async (step) => {
    for (const costUSD of amounts) await step.add({ costUSD });
    await Promise.all(amounts.map((costUSD) => step.add({ costUSD, input: 2 ** 52 })));
  }));
  const text = readFileSync(join(place.root, 'p/executions/a.json'), 'utf-8');
  for (const [member, sum] of [['costUSD', '2724629.426913560002000000000000000002'], ['total', `${6n * 2n ** 52n}`]]) {
    const found = [...text.matchAll(`"${member}": ([^,\\s]*)`)].map(([, number]) => number);
    assert.deepEqual(found, [sum, sum]);
  }
  assert.equal(place.record('p', 'a').steps[0].output, '0.1');
});

test('what is told during a write shares the next one', async (t) => {
  const place = new Place(t);
  const client = place.client();
  const { clock } = await client.request('executions/list');
  const run = await client.start({ projectId: 'p' });
  const add = () => Array.from({ length: 200 }, () => run.add({ costUSD: 0.1, output: 1 }));
  await Promise.all([
    // what is set keeps its place among what is added
    ...add(), run.set({ costUSD: 5, name: 'a' }), ...add(), run.set({ name: 'b' }), run.set({ model: 'm' }),
    run.finish('completed', { output: 'done' }),
  ]);
  const { costUSD, tokenUsage, name, model, output } = place.record('p', run.id);
  assert.deepEqual([costUSD, tokenUsage.output, name, model, output], [25, 400, 'b', 'm', 'done']);
  const { clock: after } = await client.request('executions/list');
  const ticks = (text) => Number(text.split(':').at(-1));
  assert(ticks(after) - ticks(clock) < 20, `${clock} … ${after}`);
});

test('a silent run is told to be alive', async (t) => {
  const place = new Place(t);
  await place.client({ heartbeat: 0 }).start({ projectId: 'p', id: 'quiet' });
  const began = statSync(join(place.root, 'p/executions/quiet.json')).mtimeMs;
  const client = place.client({ heartbeat: 20 });
  const run = await client.start({ projectId: 'p' });
  const file = join(place.root, 'p/executions', `${run.id}.json`);
  const { mtimeMs, ino } = statSync(file);
  await until(() => statSync(file).mtimeMs > mtimeMs, 'a heartbeat');
  assert.equal(statSync(file).ino, ino);
  // a person's note does not stop it
  await client.request('executions/update', { projectId: 'p', executionId: run.id, set: { note: 'slow' } });
  const noted = statSync(file).mtimeMs;
  await until(() => statSync(file).mtimeMs > noted, 'another');
  await run.finish();
  assert.equal(place.record('p', run.id).note, 'slow');
  assert.equal(statSync(join(place.root, 'p/executions/quiet.json')).mtimeMs, began);
});

test('a run that cannot begin leaves the other of its name alone', async (t) => {
  const place = new Place(t);
  await place.daemon();
  await place.client({ socket: place.socket }).start({ projectId: 'p', id: 'own' });
  const client = place.client({ socket: place.socket });
  await client.request('ping');
  const refused = assert.rejects(client.run({ projectId: 'p', id: 'own' }, () => undefined), { kind: 'already-exists' });
  // what has begun ends with it
  await client.close();
  await refused;
  assert.equal(place.record('p', 'own').status, 'running');
  // and nothing begins after it
  await assert.rejects(client.start({ projectId: 'p', id: 'late' }), { kind: 'unreachable', retryable: false });
});

test('an end that cannot be told is not the end', async (t) => {
  const place = new Place(t);
  const client = place.client();
  let id;
  const ended = client.run({ projectId: 'p' }, async (run) => {
    id = run.id;
    await run.finish('completed', { output: 1n });
  });
  await assert.rejects(ended, TypeError);
  const { status, error } = place.record('p', id);
  assert.equal(status, 'failed');
  assert.match(error, /^TypeError: .*BigInt/);
});

test('a run that somebody else ended is not told to be alive', async (t) => {
  const place = new Place(t);
  await place.daemon();
  const proxy = await place.between();
  const client = place.client({ socket: proxy.path, heartbeat: 5 });
  const run = await client.start({ projectId: 'p' });
  let beats = 0;
  let last = 0;
  proxy.fate = ({ method }) => {
    if (method === 'executions/update') [beats, last] = [beats + 1, Date.now()];
    return 'pass';
  };
  await until(() => beats > 2, 'signs of life');
  const other = place.client({ socket: place.socket });
  await other.request('executions/update', { projectId: 'p', executionId: run.id, set: { status: 'cancelled' } });
  await until(() => Date.now() - last > 200, 'them to end');
  assert.equal(place.record('p', run.id).status, 'cancelled');
});

test('a run is told to be alive though that was refused, but not once its end was', async (t) => {
  const place = new Place(t);
  await place.daemon();
  const proxy = await place.between();
  const run = await place.client({ socket: proxy.path, heartbeat: 5 }).start({ projectId: 'p' });
  const file = join(place.root, 'p/executions', `${run.id}.json`);
  let beats = 0;
  let last = 0;
  proxy.fate = () => {
    [beats, last] = [beats + 1, Date.now()];
    return 'pass';
  };
  const more = async () => {
    const before = beats;
    await until(() => beats > before + 3, 'signs of life');
  };
  renameSync(file, `${file}~`);
  await more();
  renameSync(`${file}~`, file);
  const { mtimeMs } = statSync(file);
  await until(() => statSync(file).mtimeMs > mtimeMs, 'a heartbeat');
  renameSync(file, `${file}~`);
  await assert.rejects(run.finish(), { kind: 'execution-not-found' });
  renameSync(`${file}~`, file);
  await until(() => Date.now() - last > 200, 'them to end');
  await run.add({ input: 1 });
  await more();
  await run.finish();
  assert.equal(place.record('p', run.id).status, 'completed');
});

/** Somebody else who has the run in mind as well. */
const strangers = {
  nobody: undefined,
  'a note': { set: { note: 'seen' } },
  'more cost': { add: { costUSD: 0.5, tokenUsage: { input: 7 } } },
};

for (const fate of ['before', 'after']) {
  for (const [who, what] of Object.entries(strangers)) {
    test(`an answer is lost ${fate} the write, and then comes ${who}`, async (t) => {
      const place = new Place(t);
      await place.daemon();
      const proxy = await place.between();
      const other = place.client({ socket: place.socket });
      const client = place.client({ socket: proxy.path });
      await client.request('executions/list');
      // each kind of write loses its first answer; the stranger comes before it is repeated
      let losses = 0;
      let strangeness = 0;
      let told;
      const lost = new Set();
      proxy.fate = ({ method, params }) => {
        if (method !== 'executions/start' && method !== 'executions/update') return 'pass';
        const mark = params.execution?.recorder ?? params.set.recorder;
        if (lost.has(mark)) return 'pass';
        lost.add(mark);
        losses++;
        told = params;
        if (fate === 'before') strange();
        return fate;
      };
      proxy.lost = () => strange();
      const busy = [];
      const strange = () => {
        const finished = told.set?.status;
        if (what && told.executionId && !(finished && fate === 'after')) {
          strangeness++;
          const { projectId, executionId } = told;
          busy.push(other.request('executions/update', { projectId, executionId, ...what }));
        }
      };
      let id;
      await client.run({ projectId: 'p', name: 'n' }, async (run) => {
        id = run.id;
        for (let number = 1; number <= 3; number++) {
          await run.step('work', (step) => step.add({ costUSD: 0.1, input: 2, output: 1 }));
          await run.add({ costUSD: 0.01 });
        }
        await run.set({ output: 'done' });
      });
      const answers = await Promise.allSettled(busy);
      const strange2 = answers.filter(({ status }) => status === 'fulfilled').length;
      const record = place.record('p', id);
      assert.equal(losses, 1 + 3 * 4 + 1 + 1);
      assert.equal(record.status, 'completed');
      assert.equal(record.output, 'done');
      assert.deepEqual(record.steps.map(({ id, status, costUSD }) => [id, status, costUSD]),
        [1, 2, 3].map((number) => [`step-${number}`, 'completed', 0.1]));
      const more = who === 'more cost' ? strange2 : 0;
      assert.equal(record.costUSD, Math.round(1000 * (0.33 + 0.5 * more)) / 1000);
      assert.deepEqual(record.tokenUsage, { input: 6 + 7 * more, output: 3, total: 9 + 7 * more });
      if (who === 'nobody') assert.equal(strangeness, 0);
      else assert(strange2 >= 12, `${strange2} of ${strangeness}`);
    });
  }
}

for (const count of [1, 5]) {
  for (const [fate, back] of [['before', true], ['after', true], ['after', false]]) {
    const then = `${fate} the write; the record ${back ? 'comes back' : 'stays away'}`;
    test(`an answer is looked for before a write of ${count} is taken apart that was lost ${then}`, async (t) => {
      const place = new Place(t);
      await place.daemon();
      const proxy = await place.between();
      const client = place.client({ socket: proxy.path, patience: back ? 30_000 : 500 });
      const run = await client.start({ projectId: 'p', id: 'a' });
      const file = join(place.root, 'p/executions/a.json');
      let sent = 0;
      proxy.fate = ({ method }) => {
        if (!method.startsWith('executions/')) return 'pass';
        if (++sent === 3 && back) renameSync(`${file}~`, file);
        if (sent === 1 && fate === 'before') renameSync(file, `${file}~`);
        return sent === 1 ? fate : 'pass';
      };
      proxy.lost = () => renameSync(file, `${file}~`);
      const answers = await Promise.allSettled(Array.from({ length: count }, () => run.add({ costUSD: 1 })));
      for (const { reason } of answers) {
        if (back) assert.equal(reason, undefined);
        else assert.deepEqual([reason.kind, reason.data.outcome], ['execution-not-found', 'unknown']);
      }
      if (!back) renameSync(`${file}~`, file);
      await run.finish();
      assert.equal(place.record('p', 'a').costUSD, count);
    });
  }
}

test('what may have gone through is not to be told again', async (t) => {
  const place = new Place(t);
  const daemon = await place.daemon();
  const proxy = await place.between();
  proxy.lost = () => daemon.kill();
  const run = await place.client({ socket: proxy.path, patience: 500 }).start({ projectId: 'p', id: 'a' });
  proxy.fate = () => 'after';
  const added = await run.add({ costUSD: 1 }).catch((error) => error);
  // whoever added it again would count it twice
  assert.deepEqual([added.data.outcome, added.retryable], ['unknown', false]);
  assert.equal(place.record('p', 'a').costUSD, 1);
});

for (const way of ['socket', 'spawned', 'shared']) {
  test(`nothing is lost or counted twice while daemons are killed (${way})`, async (t) => {
    const place = new Place(t);
    let daemon = way === 'socket' ? await place.daemon() : undefined;
    const client = way === 'shared' ? place.shared() : place.client(way === 'socket' ? { socket: place.socket } : {});
    const runs = 6;
    const steps = 20;
    let done = 0;
    const ids = new Set();
    const work = Promise.all(Array.from({ length: runs }, (_, number) => (
      client.run({ projectId: `p${number % 2}`, name: `run ${number}` }, async (run) => {
        ids.add(`${run.projectId}/${run.id}`);
        for (let at = 0; at < steps; at += 2) {
          await Promise.all([0, 1].map(() => run.step('work', async (step) => {
            await step.add({ costUSD: 0.01, input: 3, output: 2 });
            await step.set({ output: at });
            done++;
          })));
        }
      }))));
    let kills = 0;
    let over = false;
    const killing = (async () => {
      for (let next = 5; !over; ) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        if (done < next) continue;
        next = done + 10;
        if (daemon) {
          await daemon.kill();
          daemon = await place.daemon();
        } else {
          const status = await client.request('server/status').catch(() => undefined);
          if (!status) continue;
          process.kill(status.pid, 'SIGKILL');
        }
        kills++;
      }
    })();
    await work;
    over = true;
    await killing;
    assert(kills >= 5, `${kills} kills`);
    assert.equal(ids.size, runs);
    for (const key of ids) {
      const record = place.record(...key.split('/'));
      assert.equal(record.status, 'completed');
      assert.equal(record.costUSD, 0.2);
      assert.deepEqual(record.tokenUsage, { input: 60, output: 40, total: 100 });
      assert.deepEqual(record.steps.map(({ id }) => id).sort(),
        Array.from({ length: steps }, (_, at) => `step-${at + 1}`).sort());
      for (const step of record.steps) assert.deepEqual([step.status, step.costUSD], ['completed', 0.01]);
    }
    const { total } = await client.request('executions/list', { sync: true });
    assert.equal(total, runs);
  });
}
