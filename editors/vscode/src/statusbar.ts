/** What today has cost and how many runs go on, in the status bar; a warning where that is over the budget. */
import * as vscode from 'vscode';
import type { Connection } from './connection';
import { count, dollars, line, price, timezone } from './format';
import { nameOf } from './roots';
import type { Session } from './session';
import { plain, tell } from './tell';
import { together } from './together';

const REFRESH_EVERY_MS = 1_000;
/** A day ends without a change. */
const REPAINT_EVERY_MS = 30_000;

export class StatusBar {
  readonly #item = vscode.window.createStatusBarItem('runlog.today', vscode.StatusBarAlignment.Left, 10);

  constructor(private readonly session: Session, private readonly context: vscode.ExtensionContext) {
    this.#item.name = 'Runlog: Today';
    this.#item.command = 'runlog.dashboard';
    const soon = together(REFRESH_EVERY_MS, () => this.#update().catch((error: unknown) => session.log.debug(String(error))));
    const repaint = setInterval(soon, REPAINT_EVERY_MS);
    context.subscriptions.push(
      this.#item, { dispose: () => clearInterval(repaint) },
      session.onChanged(soon),
      session.onTold(soon),
      vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('runlog.budgetUSD') && soon()),
    );
  }

  async #update(): Promise<void> {
    const connections = this.session.connections.filter(({ state }) => state === 'ready');
    if (connections.length === 0) return this.#item.hide();
    const budget = vscode.workspace.getConfiguration('runlog').get<number | null>('budgetUSD', null);
    // what two roots cost together no daemon knows: each is told by itself
    const parts = await Promise.all(connections.map(async (connection) => {
      const [{ totalCostUSD: cost, totalExecutions: runs }, { count: live }] = await Promise.all([
        connection.request('executions/stats', { where: 'startedAt >= today', timezone: timezone() }),
        connection.request('executions/count', { where: 'status = running and not stale' }),
      ]);
      const over = budget !== null && cost > budget;
      if (over) void this.#warn(connection, cost, budget);
      const name = connections.length > 1 ? nameOf(connection) : '';
      return {
        over,
        text: `${name} ${line(`${price(cost)} today`, live > 0 && `${count(live)} running`)}`,
        row: `${name && `${name}: `}${count(runs)} runs today cost ${dollars(cost)}${budget === null ? '' : ` of ${dollars(budget)}`}; ${count(live)} running`,
      };
    }));
    const rows = parts.map(({ row }) => row);
    this.#item.text = `$(pulse) ${plain(parts.map(({ text }) => text.trim()).join('  '))}`;
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
    const answer = await tell('Warning', `Today's runs have cost ${price(cost)}, more than the budget of ${dollars(budget)}.`, 'Open Dashboard');
    if (answer) await vscode.commands.executeCommand('runlog.dashboard');
  }
}
