/** The panel that shows one run: who asked for which is here, what it looks like is in webview/run.ts. */
import * as vscode from 'vscode';
import type { Filter } from './filter';
import { cut, message, visible } from './format';
import { RUN_COMMANDS, type FieldsAsked, type FromRun, type RunKey, type ToRun } from './messages';
import { Run, runTold } from './run';
import type { Session } from './session';
import { isAllowed, setting } from './settings';
import { tell } from './tell';
import { Page } from './webview';

/** What is shown at once of one record; the rest is asked for piece by piece. */
const RECORD_BYTES = 512 * 1024;
const REFRESH_EVERY_MS = 500;
/** A tab is no place for more: the panel has it whole. */
const TITLE_MAX = 60;

export class RunPanel extends Page<ToRun, FromRun, RunKey> {
  /** The run that was asked for. */
  #run: Run | undefined;
  /** The one that is seen until that comes. */
  #seen: RunKey | undefined;
  #around: Awaited<ReturnType<Run['neighbours']>> = {};
  #turn = 0;
  readonly #used = new vscode.EventEmitter<void>();
  /** The person does something in the panel. */
  readonly onUsed = this.#used.event;

  constructor(session: Session, private readonly filter: Filter, context: vscode.ExtensionContext) {
    super(session, context, 'run', 'Run', REFRESH_EVERY_MS);
    context.subscriptions.push(
      session.onTold(({ connection, told }) => {
        const mine = this.#run?.connection === connection;
        // another run of the project may be the previous or the next one now
        if (mine && (told.kind === 'resync' || runTold(connection, told)?.projectId === this.#run?.projectId)) this.soon();
      }),
      filter.onChanged(() => this.soon()),
      vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('runlog') && this.soon()),
      // connections are others after a change of the settings
      session.onChanged(() => {
        const run = this.#run;
        const connection = run && session.at(run.connection.root);
        if (connection && connection !== run.connection) this.#run = new Run(connection, run.projectId, run.executionId);
        this.soon();
      }),
    );
  }

  /** The run that is shown, if the panel is what the person looks at. */
  get active(): Run | undefined {
    return this.panel?.active ? this.#named(this.#seen) ?? this.#run : undefined;
  }

  show(run: Run): void {
    this.#run = run;
    if (!this.panel) this.#seen = undefined;
    this.reveal();
  }

  /** Goes to the newer or the older run, as the view has them. */
  step(way: 'newer' | 'older'): void {
    this.#used.fire();
    const next = this.#around[way];
    if (next) this.show(next);
  }

  protected restore(key: RunKey | undefined): boolean {
    this.#run = this.#named(key);
    return this.#run !== undefined;
  }

  #named(key: RunKey | undefined): Run | undefined {
    const connection = key && this.session.at(key.root);
    return connection && new Run(connection, key.projectId, key.executionId);
  }

  protected async heard(said: FromRun): Promise<void> {
    this.#used.fire();
    if (said.type === 'focus') return;
    const run = this.#named(said.key);
    if (!run) return;
    if (said.type === 'command' && RUN_COMMANDS.includes(said.name)) await vscode.commands.executeCommand(`runlog.${said.name}`, run);
    if (said.type === 'copy') await copyValue(run, said.pointer).catch((error: unknown) => tell('Error', `Runlog: ${message(error)}`));
    if (said.type === 'fields') await this.#fields(run, said.id, said.asked);
  }

  protected async update(): Promise<void> {
    const run = this.#run;
    // the next one may be of another root
    if (run && this.ready) await run.connection.unlessSilent(this.#tell(run));
  }

  async #tell(run: Run): Promise<void> {
    const turn = ++this.#turn;
    const key = { root: run.connection.root, projectId: run.projectId, executionId: run.executionId };
    try {
      const summary = await run.summary() ?? null;
      const had = this.sent === `${run.uri} ${summary?.version}`;
      const got = had ? null : await run.request('executions/get', { maxBytes: RECORD_BYTES });
      const around = summary ? await run.neighbours(summary, this.filter).catch(() => ({})) : {};
      if (turn !== this.#turn || !this.panel) return;
      if (got) this.sent = `${run.uri} ${got.version}`;
      this.#around = around;
      this.#seen = key;
      this.panel.title = cut(visible(summary?.label ?? run.executionId), TITLE_MAX);
      const { newer, older } = this.#around;
      // what is wrong with it is told to who asks for it
      const runAgain = setting('runAgainCommand').length > 0 || !isAllowed('runAgainCommand');
      this.say({ type: 'run', key, summary, got, newer: newer !== undefined, older: older !== undefined, runAgain });
    } catch (error) {
      if (turn !== this.#turn) return;
      const missing = (error as { code?: number }).code === 404;
      // somebody else may have removed or renamed it
      const undo = missing && await run.trashed().then((entry) => entry !== undefined, () => false);
      if (turn !== this.#turn) return;
      this.sent = undefined;
      this.#seen = key;
      const text = undo ? 'This run was deleted.' : missing ? 'It is not there any more.' : message(error);
      this.say({ type: 'gone', key, text, undo });
    }
  }

  /** Parts of the record that the page does not have. */
  async #fields(run: Run, id: number, asked: FieldsAsked): Promise<void> {
    const [fields, error] = await run.request('executions/get', asked).then((got) => [got.fields ?? {}, null] as const, (caught: unknown) => [{}, message(caught)] as const);
    this.say({ type: 'fields', id, fields, error });
  }
}

/** Puts a value of a record into the clipboard, all of it: texts as they are and anything else as JSON. */
export async function copyValue(run: Run, pointer: string): Promise<void> {
  const { fields } = await run.request('executions/get', { fields: [pointer] });
  const piece = fields?.[pointer];
  if (piece?.value == null) return void vscode.window.setStatusBarMessage('There is nothing to copy', 3000);
  await vscode.env.clipboard.writeText(typeof piece.value === 'string' ? piece.value : JSON.stringify(piece.value, null, 2));
  void vscode.window.setStatusBarMessage(piece.truncated ? 'Copied as much as one answer holds' : 'Copied', 3000);
}
