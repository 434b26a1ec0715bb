/** Runs as read-only documents, with folding and an outline by steps, and two of them side by side. */
import * as vscode from 'vscode';
import { render, type Section } from './render';
import { message } from './format';
import { recordOf, SCHEME, SUFFIX, summaryOf, uriOf, type Run } from './run';
import type { Session } from './session';

/** What is shown of one record; the panel has the rest. */
const DOCUMENT_BYTES = 2 * 1024 * 1024;
const REFRESH_EVERY_MS = 500;

const SYMBOLS: Record<Section['kind'], vscode.SymbolKind> = {
  run: vscode.SymbolKind.File, part: vscode.SymbolKind.String, step: vscode.SymbolKind.Function, value: vscode.SymbolKind.Field,
};

export class Documents implements vscode.TextDocumentContentProvider, vscode.FoldingRangeProvider, vscode.DocumentSymbolProvider {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  /** Sections of the open documents, by URI. */
  readonly #sections = new Map<string, Section[]>();
  readonly #pending = new Map<string, NodeJS.Timeout>();

  constructor(private readonly session: Session, context: vscode.ExtensionContext) {
    const selector = { scheme: SCHEME };
    context.subscriptions.push(
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.languages.registerFoldingRangeProvider(selector, this),
      vscode.languages.registerDocumentSymbolProvider(selector, this, { label: 'Runlog' }),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => this.#sections.delete(uri.toString())),
      session.onChanged(() => this.#refreshAll()),
      session.onTold(({ connection, told }) => {
        if (told.kind === 'resync') this.#refreshAll();
        if (told.kind === 'saved') this.#refresh(uriOf({ connection, projectId: told.summary.projectId, executionId: told.summary.id }));
        if (told.kind === 'deleted') this.#refresh(uriOf({ connection, ...told }));
      }),
    );
  }

  async open(run: Run): Promise<void> {
    const document = await vscode.workspace.openTextDocument(uriOf(run));
    await vscode.window.showTextDocument(document, { preview: true });
  }

  /** The native diff editor over the two as text. */
  async compare(a: Run, b: Run): Promise<void> {
    const [left, right] = await Promise.all([a, b].map(async (run) => (await summaryOf(run))?.label ?? run.executionId));
    await vscode.commands.executeCommand('vscode.diff', uriOf(a), uriOf(b), `${left} ↔ ${right}`);
  }

  /** Which run a document shows. */
  runOf(uri: vscode.Uri): Run | undefined {
    const connection = this.session.at(uri.query);
    const [, projectId, name] = uri.path.split('/');
    return connection && projectId && name ? { connection, projectId, executionId: name.slice(0, -SUFFIX.length) } : undefined;
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const run = this.runOf(uri);
    if (!run) return `No daemon serves ${uri.query} in this window.\n`;
    try {
      const [{ execution, cut }, summary] = await Promise.all([recordOf(run, DOCUMENT_BYTES), summaryOf(run)]);
      const { text, sections } = render(execution, summary?.label ?? run.executionId, cut ?? []);
      this.#sections.set(uri.toString(), sections);
      return text;
    } catch (error) {
      this.#sections.delete(uri.toString());
      return `${message(error)}\n`;
    }
  }

  provideFoldingRanges({ uri }: vscode.TextDocument): vscode.FoldingRange[] {
    const ranges: vscode.FoldingRange[] = [];
    const add = ({ start, end, children }: Section): void => {
      if (end > start) ranges.push(new vscode.FoldingRange(start, end));
      children.forEach(add);
    };
    this.#sections.get(uri.toString())?.forEach(add);
    return ranges;
  }

  provideDocumentSymbols(document: vscode.TextDocument): vscode.DocumentSymbol[] {
    const symbol = ({ name, detail, kind, start, end, children }: Section): vscode.DocumentSymbol => {
      const last = Math.min(end, document.lineCount - 1);
      const range = new vscode.Range(Math.min(start, last), 0, last, document.lineAt(last).text.length);
      const made = new vscode.DocumentSymbol(name || ' ', detail, SYMBOLS[kind], range, document.lineAt(range.start.line).range);
      made.children = children.map(symbol);
      return made;
    };
    return (this.#sections.get(document.uri.toString()) ?? []).map(symbol);
  }

  #refresh(uri: vscode.Uri): void {
    const key = uri.toString();
    if (this.#pending.has(key) || !vscode.workspace.textDocuments.some((document) => document.uri.toString() === key)) return;
    this.#pending.set(key, setTimeout(() => {
      this.#pending.delete(key);
      this.#changed.fire(uri);
    }, REFRESH_EVERY_MS));
  }

  #refreshAll(): void {
    for (const { uri } of vscode.workspace.textDocuments) if (uri.scheme === SCHEME) this.#refresh(uri);
  }
}
