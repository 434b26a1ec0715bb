/** Runs as read-only documents with an outline by steps, which fold by their indentation, and two of them side by side. */
import * as vscode from 'vscode';
import { Renderer } from './render';
import { message, visible } from './format';
import { runNamed, runTold, SCHEME, SUFFIX, type Run } from './run';
import type { Session } from './session';
import { together } from './together';

/** What is shown of one record; the panel has the rest. */
const DOCUMENT_BYTES = 2 * 1024 * 1024;
const REFRESH_EVERY_MS = 500;

export class Documents implements vscode.TextDocumentContentProvider, vscode.DocumentSymbolProvider {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  /** The outlines of the open documents, by URI. */
  readonly #symbols = new Map<string, vscode.DocumentSymbol[]>();

  constructor(private readonly session: Session, context: vscode.ExtensionContext) {
    const open = (): vscode.Uri[] => vscode.workspace.textDocuments.map(({ uri }) => uri).filter(({ scheme }) => scheme === SCHEME);
    const soon = together(REFRESH_EVERY_MS, () => open().forEach((uri) => this.#changed.fire(uri)));
    context.subscriptions.push(
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.languages.registerDocumentSymbolProvider({ scheme: SCHEME }, this, { label: 'Runlog' }),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => this.#symbols.delete(uri.toString())),
      session.onChanged(soon),
      session.onTold(({ connection, told }) => {
        const changed = runTold(connection, told)?.uri.toString();
        if (told.kind === 'resync' || open().some((uri) => uri.toString() === changed)) soon();
      }),
    );
  }

  async open(run: Run): Promise<void> {
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(run.uri));
  }

  /** The native diff editor over the two as text. */
  async compare(a: Run, b: Run): Promise<void> {
    const [left, right] = await Promise.all([a, b].map(async (run) => (await run.summary())?.label ?? run.executionId));
    await vscode.commands.executeCommand('vscode.diff', a.uri, b.uri, visible(`${left} ↔ ${right}`));
  }

  /** Which run a document shows. */
  runOf(uri: vscode.Uri): Run | undefined {
    return runNamed(this.session, uri, SUFFIX);
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const run = this.runOf(uri);
    this.#symbols.delete(uri.toString());
    if (!run) return `No daemon serves ${uri.query} in this window.\n`;
    try {
      const [{ execution = {}, cut }, summary] = await Promise.all([run.request('executions/get', { maxBytes: DOCUMENT_BYTES }), run.summary()]);
      const { text, symbols } = new Renderer().record(execution, summary?.label ?? run.executionId, cut ?? []);
      this.#symbols.set(uri.toString(), symbols);
      return text;
    } catch (error) {
      return `${message(error)}\n`;
    }
  }

  provideDocumentSymbols({ uri }: vscode.TextDocument): vscode.DocumentSymbol[] {
    return this.#symbols.get(uri.toString()) ?? [];
  }
}
