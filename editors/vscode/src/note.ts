/**
 * Notes on runs: one line in a box, several in an editor. For the latter each note is a file of a scheme of its own,
 * which is saved as any other.
 */
import * as vscode from 'vscode';
import { count, message } from './format';
import { runNamed, runTold, type Run } from './run';
import type { Session } from './session';
import { plain } from './tell';

const SCHEME = 'runlog-note';
const SUFFIX = '.note';
/** So many characters the daemon takes; NOTE_MAX_CHARS in src/model/annotation.rs is the same. */
const NOTE_MAX = 2000;
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
        const type = told.kind === 'deleted' ? vscode.FileChangeType.Deleted : vscode.FileChangeType.Changed;
        if (uri && this.#seen.has(uri.toString())) this.#changed.fire([{ type, uri }]);
      }),
    );
  }

  async edit(run: Run): Promise<void> {
    let note = (await run.summary())?.note ?? '';
    // a box would make one line of them
    if (/[\r\n]/.test(note)) return void await vscode.window.showTextDocument(noteOf(run));
    let text = note;
    for (let trouble = ''; ;) {
      const typed = await typedInto(text, trouble);
      if (!typed) return;
      if (typed.lines) return await openWith(noteOf(run), typed.text);
      text = typed.text;
      // what is refused is in the box again
      try {
        if (text === note) return;
        const now = await run.summary();
        if (!now || [note, text].includes(now.note ?? '')) return void await run.request('executions/annotate', { note: text });
        note = now.note ?? '';
        trouble = `Somebody else has changed the note; Enter writes yours in its place. Theirs: ${note}`;
      } catch (error) {
        trouble = `It is not written. ${message(error)}`;
      }
    }
  }

  async stat(uri: vscode.Uri): Promise<vscode.FileStat> {
    // where a note cannot be written VS Code looks whether there is a folder for it
    if (uri.path.lastIndexOf('/') === 0) return { type: vscode.FileType.Directory, ctime: 0, mtime: 0, size: 0 };
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

/** Opens a note in an editor, with what is typed already: it is not saved yet. */
async function openWith(uri: vscode.Uri, text: string): Promise<void> {
  const document = await vscode.workspace.openTextDocument(uri);
  await vscode.window.showTextDocument(document);
  const old = document.getText();
  if (old === text) return;
  const edit = new vscode.WorkspaceEdit();
  edit.replace(uri, new vscode.Range(document.positionAt(0), document.positionAt(old.length)), text);
  await vscode.workspace.applyEdit(edit);
}

/** What is typed in place of a note of one line, and whether it shall be several; `trouble` is with what was typed before. */
function typedInto(text: string, trouble: string): Promise<{ text: string; lines: boolean } | undefined> {
  const prompt = `Empty removes it; ${count(NOTE_MAX)} characters at most`;
  const box = Object.assign(vscode.window.createInputBox(), { title: 'Note', prompt, value: text, buttons: [LINES], validationMessage: plain(trouble), ignoreFocusOut: trouble !== '' });
  const tooMuch = (): string => {
    const { length } = [...box.value];
    return length > NOTE_MAX ? `These are ${count(length)} characters; ${count(NOTE_MAX)} are possible.` : '';
  };
  return new Promise<{ text: string; lines: boolean } | undefined>((resolve) => {
    box.onDidChangeValue(() => (box.validationMessage = tooMuch()));
    box.onDidAccept(() => (box.validationMessage = tooMuch()) === '' && resolve({ text: box.value, lines: false }));
    box.onDidTriggerButton(() => resolve({ text: box.value, lines: true }));
    box.onDidHide(() => resolve(undefined));
    box.show();
  }).finally(() => box.dispose());
}
