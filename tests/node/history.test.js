// What CloutAgent's history service promises to its own users, asked of runlog through an adapter.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { makeRoot, overStdio } from './daemon.js';

/** The service's methods, in terms of the protocol. */
class History {
  constructor(connection) {
    this.connection = connection;
  }
  save(projectId, execution) {
    // dates become text, and what is undefined is left out, as in the engine's files
    execution = JSON.parse(JSON.stringify(execution));
    return this.connection.sendRequest('executions/save', { projectId, execution });
  }
  async get(projectId, executionId) {
    try {
      return (await this.connection.sendRequest('executions/get', { projectId, executionId })).execution;
    } catch (error) {
      if (error.code === 404) return null;
      throw error;
    }
  }
  list(projectId, options = {}) {
    return this.connection.sendRequest('executions/list', { projectId, ...options });
  }
  delete(projectId, executionId) {
    return this.connection.sendRequest('executions/delete', { projectId, executionId });
  }
  async deleteAll(projectId) {
    return (await this.connection.sendRequest('executions/deleteAll', { projectId })).deleted;
  }
  statistics(projectId) {
    return this.connection.sendRequest('executions/stats', { projectId });
  }
}

const project = 'test-project';
const base = { projectId: project, status: 'completed', input: 'Test', steps: [], retryCount: 0, costUSD: 0.001,
  tokenUsage: { input: 100, output: 50, total: 150 } };

describe('the history service', () => {
  let root;
  let history;
  beforeEach((t) => {
    root = makeRoot(t);
    history = new History(overStdio(t, root).connection);
  });

  test('what was saved is given back, and saving again replaces it', async () => {
    const execution = { ...base, id: 'one', output: 'Out', startedAt: new Date(), completedAt: undefined };
    await history.save(project, execution);
    assert.deepEqual(await history.get(project, 'one'), JSON.parse(JSON.stringify(execution)));
    await history.save(project, { ...execution, status: 'failed', retryCount: 1 });
    const again = await history.get(project, 'one');
    assert.deepEqual([again.status, again.retryCount], ['failed', 1]);
  });

  test('what is missing is null, what is no JSON is an error', async () => {
    assert.equal(await history.get(project, 'nothing'), null);
    const folder = join(root, project, 'executions');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'broken.json'), 'invalid json');
    await assert.rejects(history.get(project, 'broken'), (error) => error.code === 422);
  });

  describe('lists', () => {
    beforeEach(async () => {
      const statuses = ['completed', 'failed', 'running'];
      await Promise.all(Array.from({ length: 10 }, (_, i) => history.save(project, {
        ...base, id: `exec-${i}`, status: statuses[i % 3], startedAt: new Date(Date.now() - i * 1000),
        error: i % 3 === 1 ? `Error ${i}` : undefined,
      })));
    });

    test('newest first, by page, by status, as summaries', async () => {
      const all = await history.list(project);
      assert.equal(all.total, 10);
      assert.deepEqual(all.executions.map((one) => one.id), Array.from({ length: 10 }, (_, i) => `exec-${i}`));
      const page = await history.list(project, { limit: 3, offset: 3 });
      assert.deepEqual([page.executions.length, page.total, page.executions[0].id], [3, 10, 'exec-3']);
      for (const [status, count] of [['completed', 4], ['failed', 3], ['running', 3]]) {
        const some = await history.list(project, { status });
        assert.equal(some.executions.length, count);
        assert.ok(some.executions.every((one) => one.status === status));
      }
      for (const one of all.executions) {
        for (const name of ['id', 'projectId', 'status', 'startedAt', 'tokenUsage', 'costUSD']) assert.ok(name in one);
        for (const name of ['input', 'output', 'steps']) assert.ok(!(name in one));
      }
    });

    test('a project that is not there is empty', async () => {
      const { executions, total } = await history.list('nowhere');
      assert.deepEqual([executions, total], [[], 0]);
    });
  });

  test('deleting is idempotent, one or all', async () => {
    await history.save(project, { ...base, id: 'gone', startedAt: new Date() });
    await history.delete(project, 'gone');
    await history.delete(project, 'gone');
    assert.equal(await history.get(project, 'gone'), null);
    for (let i = 0; i < 5; i++) await history.save(project, { ...base, id: `exec-${i}`, startedAt: new Date() });
    assert.equal(await history.deleteAll(project), 5);
    assert.equal((await history.list(project)).total, 0);
    assert.equal(await history.deleteAll('nowhere'), 0);
  });

  test('statistics are exact', async () => {
    const runs = [['completed', 0.01, 1500], ['completed', 0.02, 3000], ['failed', 0.005, 750], ['running', 0.001, 150]];
    for (const [i, [status, costUSD, total]] of runs.entries()) {
      await history.save(project, { ...base, id: `exec-${i}`, status, costUSD, startedAt: new Date(),
        tokenUsage: { input: total / 3 * 2, output: total / 3, total } });
    }
    const stats = await history.statistics(project);
    assert.deepEqual([stats.totalExecutions, stats.completed, stats.failed, stats.running], [4, 2, 1, 1]);
    assert.equal(stats.totalCostUSD, 0.036);
    assert.equal(stats.totalTokens, 5400);
    await history.save(project, { ...base, id: 'free', costUSD: 0, startedAt: new Date() });
    assert.equal((await history.statistics(project)).totalCostUSD, 0.036);
    const none = await history.statistics('nowhere');
    assert.deepEqual([none.totalExecutions, none.totalCostUSD, none.totalTokens], [0, 0, 0]);
  });
});
