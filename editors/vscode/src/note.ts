/**
 * Notes on runs: one line in a box, several in an editor. For the latter each note is a file of a scheme of its own,
 * which is saved as any other.
 */
import * as vscode from 'vscode';
import { runNamed, runTold, type Run } from './run';
import type { Session } from './session';

const SCHEME = 'runlog-note';
const SUFFIX = '.note';
const LINES: vscode.QuickInputButton = { iconPath: new vscode.ThemeIcon('go-to-file'), tooltip: 'Write Several Lines' };

export class Notes implements vscode.FileSystemProvider {
  readonly #changed = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  readonly onDidChangeFile = this.#changed.event;
  /** What each note was when it was looked at last, and since when: by that VS Code knows whether somebody else has written it. */
  readonly #seen = new Map<string, { note: string; mtime: number }>();
  /** Notes that VS Code has just written, and asks about next. */
  readonly #written = new Set<string>();

  constructor(private readonly session: Session, context: vscode.ExtensionContext) {
    context.subscriptions.push(
      vscode.workspace.registerFileSystemProvider(SCHEME, this, { isCaseSensitive: true }),
      session.onTold(({ connection, told }) => {
        const run = runTold(connection, told);
        const uri = run && noteOf(run);
        if (uri && this.#seen.has(uri.toString())) this.#changed.fire([{ type: vscode.FileChangeType.Changed, uri }]);
      }),
    );
  }

  async edit(run: Run): Promise<void> {
    const note = (await run.summary())?.note ?? '';
    // a box would make one line of them
    const typed = /[\r\n]/.test(note) ? LINES : await typedInto(note);
    if (typed === LINES) await vscode.window.showTextDocument(noteOf(run));
    else if (typeof typed === 'string' && typed !== note) {
      const now = await run.summary();
      if (now && ![note, typed].includes(now.note ?? '')) throw new Error(`Somebody else has changed the note; it is not written: ${typed}`);
      await run.request('executions/annotate', { note: typed });
    }
  }

  async stat(uri: vscode.Uri): Promise<vscode.FileStat> {
    const note = await this.#note(uri);
    const key = uri.toString();
    let seen = this.#seen.get(key);
    const written = this.#written.delete(key);
    if (seen && seen.note !== note && written) {
      // somebody else has written it since: told as of now, it would pass for what VS Code wrote
      setTimeout(() => this.#changed.fire([{ type: vscode.FileChangeType.Changed, uri }]));
    } else if (seen?.note !== note) {
      this.#seen.set(key, seen = { note, mtime: Date.now() });
    }
    return { type: vscode.FileType.File, ctime: 0, mtime: seen.mtime, size: Buffer.byteLength(seen.note) };
  }

  async readFile(uri: vscode.Uri): Promise<Uint8Array> {
    return Buffer.from(await this.#note(uri));
  }

  async writeFile(uri: vscode.Uri, content: Uint8Array): Promise<void> {
    const note = Buffer.from(content).toString();
    await (await this.#run(uri)).request('executions/annotate', { note });
    this.#seen.set(uri.toString(), { note, mtime: Date.now() });
    this.#written.add(uri.toString());
  }

  watch(): vscode.Disposable {
    return { dispose: () => undefined };
  }

  readDirectory(): never {
    throw vscode.FileSystemError.NoPermissions();
  }

  createDirectory(): never {
    throw vscode.FileSystemError.NoPermissions();
  }

  delete(): never {
    throw vscode.FileSystemError.NoPermissions();
  }

  rename(): never {
    throw vscode.FileSystemError.NoPermissions();
  }

  async #run(uri: vscode.Uri): Promise<Run> {
    // the window may have begun with it
    await this.session.opened;
    const run = runNamed(this.session, uri, SUFFIX);
    if (!run) throw vscode.FileSystemError.Unavailable(uri);
    return run;
  }

  async #note(uri: vscode.Uri): Promise<string> {
    const summary = await (await this.#run(uri)).summary();
    if (!summary) throw vscode.FileSystemError.FileNotFound(uri);
    return summary.note ?? '';
  }
}

function noteOf({ connection, projectId, executionId }: Run): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: `/${projectId}/${executionId}${SUFFIX}`, query: connection.root });
}

/** What is typed in place of a note of one line, or that it shall be several. */
function typedInto(note: string): Promise<string | vscode.QuickInputButton | undefined> {
  const box = Object.assign(vscode.window.createInputBox(), { title: 'Note', prompt: 'Empty removes it', value: note, buttons: [LINES] });
  return new Promise<string | vscode.QuickInputButton | undefined>((resolve) => {
    box.onDidAccept(() => resolve(box.value));
    box.onDidTriggerButton(resolve);
    box.onDidHide(() => resolve(undefined));
    box.show();
  }).finally(() => box.dispose());
}
