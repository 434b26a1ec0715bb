/** The panel that shows one run: who asked for which is here, what it looks like is in webview/run.ts. */
import * as vscode from 'vscode';
import type { Filter } from './filter';
import { message } from './format';
import { PIECE_UNITS, RUN_COMMANDS, STEPS_PAGE, type FromRun, type RunKey, type ToRun } from './messages';
import { neighbours, recordOf, sameRun, summaryOf, type Run } from './run';
import type { Session } from './session';
import { options, page } from './webview';

/** What is shown at once of one record; the rest is asked for piece by piece. */
const RECORD_BYTES = 512 * 1024;
const REFRESH_EVERY_MS = 500;

export class RunPanel implements vscode.WebviewPanelSerializer<RunKey> {
  #panel: vscode.WebviewPanel | undefined;
  #run: Run | undefined;
  #around: { newer?: Run; older?: Run } = {};
  #timer: NodeJS.Timeout | undefined;
  #ready = false;
  #turn = 0;
  readonly #used = new vscode.EventEmitter<void>();
  /** The person does something in the panel. */
  readonly onUsed = this.#used.event;

  constructor(private readonly session: Session, private readonly filter: Filter, private readonly context: vscode.ExtensionContext) {
    context.subscriptions.push(
      vscode.window.registerWebviewPanelSerializer('runlog.run', this),
      session.onTold(({ connection, told }) => {
        if (this.#run?.connection !== connection || told.kind === 'current') return;
        const named = told.kind === 'saved' ? { projectId: told.summary.projectId, executionId: told.summary.id } : told;
        if (!('projectId' in named) || sameRun(this.#run, { connection, ...named })) this.#soon();
      }),
      filter.onChanged(() => this.#soon()),
      vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('runlog.pinnedFirst') && this.#soon()),
      // connections are others after a change of the settings
      session.onChanged(() => {
        const run = this.#run;
        const connection = run && session.at(run.connection.root);
        if (connection && connection !== run.connection) this.show({ ...run, connection });
      }),
    );
  }

  /** The run that is shown, if the panel is what the person looks at. */
  get active(): Run | undefined {
    return this.#panel?.active ? this.#run : undefined;
  }

  show(run: Run): void {
    this.#run = run;
    if (!this.#panel) {
      // the window before this one may have left a tab that was not looked at yet
      const left = vscode.window.tabGroups.all.flatMap(({ tabs }) => tabs)
        .filter(({ input }) => input instanceof vscode.TabInputWebview && input.viewType.endsWith('runlog.run'));
      void vscode.window.tabGroups.close(left);
      this.#adopt(vscode.window.createWebviewPanel('runlog.run', 'Run', { viewColumn: vscode.ViewColumn.Active }, options(this.context)));
    } else if (!this.#panel.visible) {
      this.#panel.reveal();
    }
    void this.#update();
  }

  /** Goes to the newer or the older run, as the view has them. */
  step(way: 'newer' | 'older'): void {
    this.#used.fire();
    const next = this.#around[way];
    if (next) this.show(next);
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, key: RunKey | undefined): Promise<void> {
    // the window before this one showed it: first it must be known what is served
    await this.session.opened;
    const connection = key && this.session.at(key.root);
    // another run may be shown by now
    if (!connection || this.#panel) return panel.dispose();
    this.#run = { connection, projectId: key.projectId, executionId: key.executionId };
    this.#adopt(panel);
  }

  #adopt(panel: vscode.WebviewPanel): void {
    this.#panel = panel;
    this.#ready = false;
    panel.iconPath = vscode.Uri.joinPath(this.context.extensionUri, 'images', 'activity.svg');
    panel.webview.options = options(this.context);
    panel.webview.onDidReceiveMessage((said: FromRun) => this.#heard(said));
    // a hidden page is let go, and says again when it is ready
    panel.onDidChangeViewState(() => !panel.visible && (this.#ready = false));
    panel.onDidDispose(() => this.#panel === panel && (this.#panel = undefined));
    panel.webview.html = page(panel.webview, this.context, 'run', 'Run');
  }

  async #heard(said: FromRun): Promise<void> {
    if (said.type === 'ready') {
      this.#ready = true;
      return await this.#update();
    }
    this.#used.fire();
    if (said.type === 'focus') return;
    if (said.type === 'command') {
      if (RUN_COMMANDS.includes(said.name)) await vscode.commands.executeCommand(`runlog.${said.name}`, this.#run);
    } else if (said.type === 'copy') {
      await this.#copy(said.pointer);
    } else if (said.type === 'steps') {
      await this.#steps(said.places);
    } else {
      await this.#piece(said.pointer, said.start, said.bytes);
    }
  }

  #say(what: ToRun): void {
    // as text, in which numbers keep their spelling
    void this.#panel?.webview.postMessage(JSON.stringify(what));
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#update();
    }, REFRESH_EVERY_MS);
  }

  async #update(): Promise<void> {
    const run = this.#run;
    if (!run || !this.#ready) return;
    const turn = ++this.#turn;
    const key = { root: run.connection.root, projectId: run.projectId, executionId: run.executionId };
    try {
      const [got, summary] = await Promise.all([recordOf(run, RECORD_BYTES), summaryOf(run)]);
      const around = summary ? await neighbours(run, summary, this.filter).catch(() => ({})) : {};
      if (turn !== this.#turn || !this.#panel) return;
      this.#around = around;
      this.#panel.title = summary?.label ?? run.executionId;
      const { newer, older } = this.#around;
      this.#say({
        type: 'run', key, record: got.execution, cut: got.cut ?? [], sizeBytes: got.sizeBytes ?? 0, summary: summary ?? null,
        newer: newer !== undefined, older: older !== undefined, annotations: run.connection.can('executions/annotate'),
        runAgain: vscode.workspace.getConfiguration('runlog').get<string[]>('runAgainCommand', []).length > 0,
      });
    } catch (error) {
      const missing = (error as { code?: number }).code === 404;
      if (turn === this.#turn) this.#say({ type: 'gone', key, text: missing ? 'This run was deleted.' : message(error), undo: missing });
    }
  }

  /** A part of a text, or more of an object or array. */
  async #piece(pointer: string, start: number, maxBytes: number): Promise<void> {
    const run = this.#run;
    if (!run) return;
    const { connection, projectId, executionId } = run;
    const range = start > 0 ? { range: { start, end: start + PIECE_UNITS } } : {};
    try {
      const { fields } = await connection.request('executions/get', { projectId, executionId, fields: [pointer], maxBytes, ...range });
      this.#say({ type: 'piece', pointer, start, piece: fields?.[pointer] ?? null });
    } catch (error) {
      this.#say({ type: 'piece', pointer, start, piece: null, error: message(error) });
    }
  }

  /** Steps that the record was too large to hold. */
  async #steps(places: number[]): Promise<void> {
    const run = this.#run;
    if (!run) return;
    const { connection, projectId, executionId } = run;
    const fields = places.slice(0, STEPS_PAGE).map((place) => `/steps/${place}`);
    const got = await connection.request('executions/get', { projectId, executionId, fields, maxBytes: RECORD_BYTES });
    this.#say({ type: 'steps', pieces: places.flatMap((place) => {
      const piece = got.fields?.[`/steps/${place}`];
      return piece ? [{ place, piece }] : [];
    }) });
  }

  /** The whole value, however little of it is shown. */
  async #copy(pointer: string): Promise<void> {
    if (this.#run) await copyValue(this.#run, pointer);
  }
}

/** Puts a value of a record into the clipboard, texts as they are and anything else as JSON. */
export async function copyValue({ connection, projectId, executionId }: Run, pointer: string): Promise<void> {
  const { fields } = await connection.request('executions/get', { projectId, executionId, fields: [pointer] });
  const piece = fields?.[pointer];
  if (piece?.value === undefined || piece.value === null) {
    void vscode.window.setStatusBarMessage('There is nothing to copy', 3000);
    return;
  }
  await vscode.env.clipboard.writeText(typeof piece.value === 'string' ? piece.value : JSON.stringify(piece.value, null, 2));
  void vscode.window.setStatusBarMessage(piece.truncated ? 'Copied as much as one answer holds' : 'Copied', 3000);
}
