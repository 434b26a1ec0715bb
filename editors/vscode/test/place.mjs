// Folders of runs in a temporary place, files written as the engine writes them, and the daemon's own answers.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const RUNLOG = realpathSync(process.env.RUNLOG_BIN);
export const top = realpathSync(mkdtempSync(join(tmpdir(), 'runlog-vscode-')));

/** Daemons of these tests are met by nobody else. */
export const environment = { ...process.env, XDG_RUNTIME_DIR: join(top, 'run'), XDG_CACHE_HOME: join(top, 'cache'), HOME: join(top, 'home'), TZ: 'America/New_York', PATH: `${join(top, 'path')}:${process.env.PATH}` };
for (const name of ['run', 'cache', 'home', 'path']) mkdirSync(join(top, name), { mode: 0o700 });
symlinkSync(RUNLOG, join(top, 'path/runlog'));
// VS Code asks the person's shell for the PATH
for (const name of ['.profile', '.bashrc']) writeFileSync(join(top, 'home', name), `PATH=${join(top, 'path')}:$PATH\n`);

let made = 0;

/** A workspace folder with a root in it. */
export class Place {
  constructor(name = `w${++made}`, parent = top) {
    this.folder = join(parent, name);
    this.root = join(this.folder, 'projects');
    mkdirSync(this.folder, { recursive: true });
    // nobody else's runs are found from here
    mkdirSync(join(this.folder, '.git'), { recursive: true });
  }

  settings(settings) {
    mkdirSync(join(this.folder, '.vscode'), { recursive: true });
    writeFileSync(join(this.folder, '.vscode/settings.json'), JSON.stringify(settings));
  }

  path(project, id) {
    return join(this.root, project, 'executions', `${id}.json`);
  }

  /** As the engine does: beside it, then renamed; as if that had been `at` another time, where one is given. */
  save(project, record, at) {
    const path = this.path(project, record.id);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(`${path}.tmp`, JSON.stringify({ projectId: project, ...record }, null, 2));
    if (at) utimesSync(`${path}.tmp`, at, at);
    renameSync(`${path}.tmp`, path);
  }

  /** Asks the root's daemon, as any other client. */
  async ask(method, params = {}) {
    const child = spawn(RUNLOG, ['serve', '--shared', '--projects', this.root], { env: environment, stdio: ['pipe', 'pipe', 'ignore'] });
    child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })}\n`);
    let text = '';
    for await (const chunk of child.stdout) {
      text += chunk;
      if (text.endsWith('\n')) child.stdin.end();
    }
    const { result, error } = JSON.parse(text);
    if (error) throw new Error(error.message);
    return result;
  }

  remove(project, id) {
    rmSync(this.path(project, id));
  }
}

/** A record, a minute older than the one before. */
export function record(number, more = {}) {
  const started = Date.now() - number * 60_000;
  const duration = 1000 * (1 + (number % 7));
  return {
    id: `exec-${String(number).padStart(4, '0')}`, status: number % 5 === 3 ? 'failed' : 'completed', input: `Task number ${number}`,
    startedAt: new Date(started).toISOString(), completedAt: new Date(started + duration).toISOString(), duration,
    tokenUsage: { input: 100, output: 50, total: 150 }, costUSD: 0.01, steps: [], retryCount: 0,
    ...(number % 5 === 3 ? { error: `Timeout after ${number} s` } : { output: `Done ${number}` }), ...more,
  };
}

/** The ids of the processes whose command line, a list, passes. */
function processes(passes) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return passes(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'));
    } catch {
      return false;
    }
  });
}

/** The daemons of a root: their process ids. */
export function daemons(root) {
  return processes((command) => command.some((part) => part.startsWith('--socket')) && command.includes(root));
}

/** The processes by which windows and others share the daemon of a root. */
export function bridges(root) {
  return processes((command) => command.includes('--shared') && command.includes(root));
}

/** Ends all processes of these tests, and those that they have started meanwhile. */
export async function endAll() {
  for (;;) {
    const ours = processes((command) => command.some((part) => part.includes(`${top}/`)));
    if (ours.length === 0) return;
    for (const pid of ours) {
      try {
        process.kill(pid);
      } catch {
        // it has ended by itself
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
