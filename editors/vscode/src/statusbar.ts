/** What today has cost and how many runs go on, in the status bar; a warning where that is over the budget. */
import * as vscode from 'vscode';
import type { Connection } from './connection';
import { count, counted, dollars, line, price, timezone, visible } from './format';
import { nameOf } from './roots';
import type { Session } from './session';
import { setting } from './settings';
import { plain, tell } from './tell';
import { together } from './together';

const REFRESH_EVERY_MS = 1_000;
/** A day ends without a change. */
const REPAINT_EVERY_MS = 30_000;

export function showToday(session: Session, context: vscode.ExtensionContext): void {
  const item = vscode.window.createStatusBarItem('runlog.today', vscode.StatusBarAlignment.Left, 10);
  item.name = 'Runlog: Today';
  item.command = 'runlog.dashboard';
  const update = async (): Promise<void> => {
    const connections = session.connections.filter(({ state }) => state === 'ready');
    if (connections.length === 0) return item.hide();
    const budget = setting('budgetUSD');
    // what two roots cost together no daemon knows: each is told by itself
    const parts = await Promise.all(connections.map(async (connection) => {
      const [{ totalCostUSD: cost, totalExecutions: runs }, { count: live }] = await Promise.all([
        connection.request('executions/stats', { where: 'startedAt >= today', timezone: timezone() }),
        connection.request('executions/count', { where: 'status = running and not stale' }),
      ]);
      const over = budget !== null && cost > budget;
      if (over) void warn(context, connection, cost, budget);
      const name = connections.length > 1 ? nameOf(connection) : '';
      return {
        over,
        text: `${name} ${line(`${price(cost)} today`, live > 0 && `${count(live)} running`)}`,
        row: `${name && `${name}: `}${counted(runs, 'run')} today cost ${dollars(cost)}${budget === null ? '' : ` of ${dollars(budget)}`}; ${count(live)} running`,
      };
    }));
    const rows = parts.map(({ row }) => visible(row));
    item.text = `$(pulse) ${plain(parts.map(({ text }) => text.trim()).join('  '))}`;
    item.tooltip = rows.join('\n');
    item.accessibilityInformation = { label: `Runlog: ${rows.join('; ')}` };
    item.backgroundColor = parts.some(({ over }) => over) ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    item.show();
  };
  const soon = together(REFRESH_EVERY_MS, () => update().catch((error: unknown) => session.log.debug(String(error))));
  const repaint = setInterval(soon, REPAINT_EVERY_MS);
  context.subscriptions.push(
    item, { dispose: () => clearInterval(repaint) },
    session.onChanged(soon),
    session.onTold(soon),
    vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('runlog.budgetUSD') && soon()),
  );
}

/** Once a day and root, whatever windows there are. */
async function warn({ globalState }: vscode.ExtensionContext, { root }: Connection, cost: number, budget: number): Promise<void> {
  const key = `budget:${root}`;
  const today = new Date().toLocaleDateString('sv');
  if (globalState.get(key) === today) return;
  await globalState.update(key, today);
  const answer = await tell('Warning', `Today's runs have cost ${price(cost)}, more than the budget of ${dollars(budget)}.`, 'Open Dashboard');
  if (answer) await vscode.commands.executeCommand('runlog.dashboard');
}
