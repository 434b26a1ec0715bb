// Starts the program under test on a root of its own, and plays the engine.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  SocketMessageReader, SocketMessageWriter, StreamMessageReader, StreamMessageWriter,
  createMessageConnection,
} from 'vscode-jsonrpc/node';

const binary = process.env.RUNLOG_BINARY;
if (!binary) throw new Error('RUNLOG_BINARY must name the program under test');

/** A root that goes when the test ends. */
export function makeRoot(test) {
  const folder = mkdtempSync(join(tmpdir(), 'runlog-node-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  const root = join(folder, 'projects');
  mkdirSync(root);
  return root;
}

/** What CloutAgent's engine does to save a run. */
export function engineSaves(root, projectId, execution) {
  const folder = join(root, projectId, 'executions');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${execution.id}.json`);
  writeFileSync(`${file}.tmp`, JSON.stringify(execution, null, 2), 'utf-8');
  renameSync(`${file}.tmp`, file);
  return file;
}

/** A connection of vscode-jsonrpc over the daemon's stdio. */
export function overStdio(test, root) {
  const child = spawn(binary, ['serve', '--projects', root], { stdio: ['pipe', 'pipe', 'inherit'] });
  const connection = createMessageConnection(
    new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  connection.listen();
  const ended = new Promise((resolve) => child.on('exit', resolve));
  test.after(async () => {
    connection.dispose();
    child.kill();
    await ended;
  });
  return { connection, ended };
}

/** A daemon on a socket; each call of `connect` is another client. */
export async function onSocket(test, root) {
  const path = `${root}.sock`;
  const child = spawn(binary, ['serve', '--projects', root, `--socket=${path}`],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  test.after(async () => {
    child.kill();
    await ended;
  });
  for await (const line of createInterface({ input: child.stdout })) {
    JSON.parse(line);
    break;
  }
  return {
    path,
    async connect() {
      const socket = createConnection(path);
      await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      const connection =
        createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
      connection.listen();
      test.after(() => {
        connection.dispose();
        socket.destroy();
      });
      return connection;
    },
  };
}

/** Collects the notifications of a connection; `next` waits for one. */
export function changesOf(connection) {
  const come = [];
  const waiting = [];
  connection.onNotification('executions/changed', ({ result }) => {
    const wanted = waiting.shift();
    if (wanted) wanted(result);
    else come.push(result);
  });
  return { next: () => new Promise((resolve) => (come.length ? resolve(come.shift()) : waiting.push(resolve))) };
}

/** Frames sent as they are, one at a time; gives each answer, and fails where none comes. */
export async function rawFrames(test, path) {
  const socket = createConnection(path);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  test.after(() => socket.destroy());
  let come = Buffer.alloc(0);
  let waiting;
  socket.on('data', (bytes) => {
    come = Buffer.concat([come, bytes]);
    const end = come.indexOf('\r\n\r\n');
    const length = Number(/Content-Length: (\d+)/.exec(come.subarray(0, Math.max(end, 0)))?.[1]);
    if (come.length < end + 4 + length || Number.isNaN(length)) return;
    const answer = JSON.parse(come.subarray(end + 4, end + 4 + length));
    come = come.subarray(end + 4 + length);
    waiting.resolve(answer);
  });
  socket.on('close', () => waiting?.reject(new Error('the connection ended')));
  return (frame) => new Promise((resolve, reject) => {
    const body = Buffer.isBuffer(frame) ? frame : Buffer.from(JSON.stringify(frame));
    waiting = { resolve, reject };
    socket.write(Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body]));
  });
}
