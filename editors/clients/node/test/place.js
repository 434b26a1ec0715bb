// A root of its own, daemons on it that can be killed, and a go-between that loses messages.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from '../dist/runlog.js';

export const binary = process.env.RUNLOG_BINARY;
if (!binary) throw new Error('RUNLOG_BINARY must name the program under test');

/** Waits until `wanted` gives something. */
export async function until(wanted, what) {
  for (const end = Date.now() + 30_000; ; ) {
    const found = await wanted();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class Place {
  constructor(test) {
    this.test = test;
    const folder = mkdtempSync(join(tmpdir(), 'runlog-client-'));
    this.folder = folder;
    this.root = join(folder, 'projects');
    mkdirSync(this.root);
    this.socket = join(folder, 's.sock');
    this.ends = [() => rmSync(folder, { recursive: true, force: true })];
    test.after(async () => {
      for (const end of this.ends.reverse()) await end();
    });
  }

  /** A daemon on the socket; `kill` ends it for good. */
  async daemon(args = [`--socket=${this.socket}`]) {
    const child = spawn(binary, ['serve', '--projects', this.root, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, XDG_RUNTIME_DIR: this.folder },
    });
    const exited = once(child, 'exit');
    const kill = () => (child.kill('SIGKILL'), exited);
    this.ends.push(kill);
    for await (const line of createInterface({ input: child.stdout })) {
      JSON.parse(line);
      break;
    }
    return { kill };
  }

  /** A client that starts its daemon, or meets the one on `socket`. */
  client(options = {}) {
    const client = new Client({ command: [binary, 'serve'], projects: this.root, ...options });
    this.ends.push(() => client.close());
    return client;
  }

  /** A client of the root's shared daemon, which is ended with it. */
  shared() {
    const command = ['env', `XDG_RUNTIME_DIR=${this.folder}`, binary, 'serve', '--shared'];
    const client = this.client({ command });
    this.ends.push(async () => {
      const { pid } = await client.request('server/status');
      // else its window would start another one
      await client.close();
      process.kill(pid, 'SIGKILL');
      await until(() => !existsSync(`/proc/${pid}`), 'the daemon to end');
    });
    return client;
  }

  /** What is stored of a run. */
  record(projectId, id) {
    return JSON.parse(readFileSync(join(this.root, projectId, 'executions', `${id}.json`), 'utf-8'));
  }

  /** What CloutAgent's engine does to save a run. */
  engineSaves(projectId, execution) {
    const folder = join(this.root, projectId, 'executions');
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${execution.id}.json`);
    writeFileSync(`${file}.tmp`, JSON.stringify(execution, null, 2), 'utf-8');
    renameSync(`${file}.tmp`, file);
  }

  /**
   * A go-between before the daemon's socket: `proxy.fate(message)` says of each request whether to `pass`
   * it, to end the connection `before` the daemon sees it, or `after` the daemon has answered.
   */
  async between() {
    const proxy = { path: join(this.folder, 'between.sock'), fate: () => 'pass' };
    const server = createServer((near) => {
      const far = connect(this.socket);
      const end = () => (near.destroy(), far.destroy());
      let lose;
      const forward = (from, to, judge) => {
        createInterface({ input: from }).on('line', (line) => {
          if (judge(JSON.parse(line))) to.write(`${line}\n`);
          else end();
        }).on('error', end);
        from.on('close', end).on('error', end);
      };
      forward(near, far, (message) => {
        const fate = proxy.fate(message);
        if (fate === 'after') lose = message.id;
        return fate !== 'before';
      });
      forward(far, near, (message) => {
        if (lose === undefined || message.id !== lose) return true;
        proxy.lost?.();
        return false;
      });
    });
    server.listen(proxy.path);
    await once(server, 'listening');
    this.ends.push(() => new Promise((resolve) => server.close(resolve)));
    return proxy;
  }
}
