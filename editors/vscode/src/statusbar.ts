/** What today has cost and how many runs go on, in the status bar; a warning where that is over the budget. */
import * as vscode from 'vscode';
import type { Connection } from './connection';
import { count, dollars, line, timezone } from './format';
import { nameOf } from './roots';
import type { Session } from './session';
import { plain, tell } from './tell';

const REFRESH_EVERY_MS = 1_000;
/** A day ends without a change. */
const REPAINT_EVERY_MS = 30_000;

export class StatusBar implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem('runlog.today', vscode.StatusBarAlignment.Left, 10);
  readonly #repaint = setInterval(() => void this.#soon(), REPAINT_EVERY_MS);
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly session: Session, private readonly context: vscode.ExtensionContext) {
    this.#item.name = 'Runlog: Today';
    this.#item.command = 'runlog.dashboard';
    context.subscriptions.push(
      this, this.#item,
      session.onChanged(() => this.#soon()),
      session.onTold(() => this.#soon()),
      vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('runlog.budgetUSD') && this.#soon()),
    );
  }

  dispose(): void {
    clearInterval(this.#repaint);
    clearTimeout(this.#timer);
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      void this.#update().catch((error: unknown) => this.session.log.debug(String(error))).finally(() => (this.#timer = undefined));
    }, REFRESH_EVERY_MS);
  }

  async #update(): Promise<void> {
    const connections = this.session.connections.filter(({ state }) => state === 'ready');
    if (connections.length === 0) return this.#item.hide();
    const several = connections.length > 1;
    const budget = vscode.workspace.getConfiguration('runlog').get<number | null>('budgetUSD', null);
    // what two roots cost together no daemon knows: each is told by itself
    const parts = await Promise.all(connections.map(async (connection) => {
      const [today, live] = await Promise.all([
        connection.request('executions/stats', { where: 'startedAt >= today', timezone: timezone() }),
        connection.request('executions/count', { where: 'status = running and not stale' }),
      ]);
      const over = budget !== null && today.totalCostUSD > budget;
      if (over) void this.#warn(connection, today.totalCostUSD, budget);
      const text = line(`${dollars(today.totalCostUSD)} today`, live.count > 0 && `${count(live.count)} running`);
      return { over, text: several ? `${nameOf(connection)} ${text}` : text, cost: today.totalCostUSD, runs: today.totalExecutions, live: live.count, connection };
    }));
    this.#item.text = `$(pulse) ${plain(parts.map(({ text }) => text).join('  '))}`;
    const rows = parts.map(({ cost, runs, live, connection }) => (
      `${several ? `${nameOf(connection)}: ` : ''}${count(runs)} runs today cost ${dollars(cost)}${budget === null ? '' : ` of ${dollars(budget)}`}; ${count(live)} running`));
    this.#item.tooltip = rows.join('\n');
    this.#item.accessibilityInformation = { label: `Runlog: ${rows.join('; ')}` };
    this.#item.backgroundColor = parts.some(({ over }) => over) ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    this.#item.show();
  }

  /** Once a day and root, whatever windows there are. */
  async #warn({ root }: Connection, cost: number, budget: number): Promise<void> {
    const key = `budget:${root}`;
    const today = new Date().toLocaleDateString('sv');
    if (this.context.globalState.get(key) === today) return;
    await this.context.globalState.update(key, today);
    const answer = await tell('Warning',
      `Today's runs have cost ${dollars(cost)}, more than the budget of ${dollars(budget)}.`, 'Open Dashboard');
    if (answer) await vscode.commands.executeCommand('runlog.dashboard');
  }
}
