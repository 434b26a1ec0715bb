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
  // what two roots cost together no daemon knows: each is told by itself, and none waits for another
  const told = new WeakMap<Connection, { cost: number; runs: number; live: number }>();
  const asking = new WeakMap<Connection, () => void>();
  const paint = (): void => {
    const budget = setting('budgetUSD');
    const ready = session.connections.filter(({ state }) => state === 'ready');
    const parts = ready.flatMap((connection) => {
      const today = told.get(connection);
      if (!today) return [];
      const { cost, runs, live } = today;
      const over = budget !== null && cost > budget;
      if (over) void warn(context, connection, cost, budget);
      const name = session.connections.length > 1 ? nameOf(connection) : '';
      return {
        over,
        text: `${name} ${line(`${price(cost)} today`, live > 0 && `${count(live)} running`)}`,
        row: `${name && `${name}: `}${counted(runs, 'run')} today cost ${dollars(cost)}${budget === null ? '' : ` of ${dollars(budget)}`}; ${count(live)} running`,
      };
    });
    if (parts.length === 0) return item.hide();
    const rows = parts.map(({ row }) => visible(row));
    item.text = `$(pulse) ${plain(parts.map(({ text }) => text.trim()).join('  '))}`;
    item.tooltip = rows.join('\n');
    item.accessibilityInformation = { label: `Runlog: ${rows.join('; ')}` };
    item.backgroundColor = parts.some(({ over }) => over) ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    item.show();
  };
  const ask = async (connection: Connection): Promise<void> => {
    if (connection.state !== 'ready') return;
    const [{ totalCostUSD: cost, totalExecutions: runs }, { count: live }] = await Promise.all([
      connection.request('executions/stats', { where: 'startedAt >= today', timezone: timezone() }),
      connection.request('executions/count', { where: 'status = running and not stale' }),
    ]);
    told.set(connection, { cost, runs, live });
    paint();
  };
  const soon = (connections = session.connections): void => {
    for (const connection of connections) {
      const again = asking.get(connection)
        ?? together(REFRESH_EVERY_MS, () => ask(connection).catch((error: unknown) => session.log.debug(String(error))));
      asking.set(connection, again);
      again();
    }
  };
  const repaint = setInterval(soon, REPAINT_EVERY_MS);
  context.subscriptions.push(
    item, { dispose: () => clearInterval(repaint) },
    session.onChanged(() => (paint(), soon())),
    session.onTold(({ connection }) => soon([connection])),
    vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('runlog.budgetUSD') && paint()),
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
