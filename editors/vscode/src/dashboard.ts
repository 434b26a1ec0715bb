/** The panel with charts: asks the daemon for what they show, and leads from a bar to the runs behind it. */
import * as vscode from 'vscode';
import type { Connection } from './connection';
import type { Filter } from './filter';
import { message, timezone } from './format';
import type { Asked, DashboardData, FromDashboard, Range, ToDashboard } from './messages';
import { nameOf } from './roots';
import type { Run } from './run';
import type { Session } from './session';
import { options, page } from './webview';

const REFRESH_EVERY_MS = 2_000;
const NODES = 10;
const GROUPS = 20;
const PROJECTS = 1000;

const BUCKETS: Record<Range, DashboardData['bucket']> = { '24h': 'hour', '7d': 'day', '30d': 'day', '90d': 'day', '365d': 'week', all: 'month' };

export class Dashboard implements vscode.WebviewPanelSerializer<Asked> {
  #panel: vscode.WebviewPanel | undefined;
  #asked: Asked = { root: '', projectId: '', range: '30d' };
  #timer: NodeJS.Timeout | undefined;
  #ready = false;
  #turn = 0;

  constructor(
    private readonly session: Session, private readonly filter: Filter, private readonly context: vscode.ExtensionContext,
    private readonly open: (run: Run) => void,
  ) {
    context.subscriptions.push(
      vscode.window.registerWebviewPanelSerializer('runlog.dashboard', this),
      session.onChanged(() => this.#soon()),
      session.onTold(({ connection }) => connection === this.#connection && this.#soon()),
    );
  }

  show(connection?: Connection, projectId?: string): void {
    if (connection) this.#asked = { ...this.#asked, root: connection.root, projectId: projectId ?? '' };
    if (this.#panel) {
      this.#panel.reveal();
      void this.#update();
    } else {
      this.#adopt(vscode.window.createWebviewPanel('runlog.dashboard', 'Runlog Dashboard', vscode.ViewColumn.Active, options(this.context)));
    }
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, asked: Asked | undefined): Promise<void> {
    await this.session.opened;
    if (this.#panel) return panel.dispose();
    if (asked) this.#asked = asked;
    this.#adopt(panel);
  }

  #adopt(panel: vscode.WebviewPanel): void {
    this.#panel = panel;
    this.#ready = false;
    panel.iconPath = vscode.Uri.joinPath(this.context.extensionUri, 'images', 'activity.svg');
    panel.webview.options = options(this.context);
    panel.webview.onDidReceiveMessage((said: FromDashboard) => this.#heard(said));
    panel.onDidChangeViewState(() => !panel.visible && (this.#ready = false));
    panel.onDidDispose(() => this.#panel === panel && (this.#panel = undefined));
    panel.webview.html = page(panel.webview, this.context, 'dashboard', 'Runlog Dashboard');
  }

  /** The root that is shown: the chosen one, else the first. */
  get #connection(): Connection | undefined {
    return this.session.at(this.#asked.root) ?? this.session.connections[0];
  }

  async #heard(said: FromDashboard): Promise<void> {
    if (said.type === 'ready') {
      this.#ready = true;
      await this.#update();
    } else if (said.type === 'ask') {
      this.#asked = said.asked;
      await this.#update();
    } else if (said.type === 'show') {
      this.filter.set(this.#where(said.where), said.status);
      await vscode.commands.executeCommand('runlog.runs.focus');
    } else if (this.#connection) {
      this.open({ connection: this.#connection, projectId: said.projectId, executionId: said.executionId });
    }
  }

  #soon(): void {
    if (!this.#ready) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#update();
    }, REFRESH_EVERY_MS);
  }

  /** The range and the project as a filter, with what narrows it further. */
  #where(also = ''): string {
    const { projectId, range } = this.#asked;
    const project = projectId === '' ? '' : `project = ${JSON.stringify(projectId)}`;
    return [since(range), project, also].filter((part) => part !== '').join(' and ');
  }

  async #update(): Promise<void> {
    const connection = this.#connection;
    if (!this.#ready || !this.#panel) return;
    if (!connection) return this.#say({ type: 'error', text: 'No runs are served in this window.' });
    const turn = ++this.#turn;
    try {
      const { groups } = await connection.request('executions/count', { groupBy: ['project'], limit: PROJECTS });
      const projects = (groups ?? []).flatMap(({ key: [id] }) => id ?? []);
      const data = await this.#data(connection);
      if (turn !== this.#turn) return;
      const roots = this.session.connections.map((one) => ({ root: one.root, name: nameOf(one) }));
      this.#say({ type: 'data', asked: { ...this.#asked, root: connection.root }, roots, projects, timezone: timezone(), data });
    } catch (error) {
      if (turn === this.#turn) this.#say({ type: 'error', text: message(error) });
    }
  }

  async #data(connection: Connection): Promise<DashboardData> {
    const { projectId, range } = this.#asked;
    const bucket = BUCKETS[range];
    // percentiles are told with a filter only
    const selection = { where: since(range) || 'id is not null', timezone: timezone(), ...(projectId === '' ? {} : { projectId }) };
    const [series, stats, expensive, failing, errors] = await Promise.all([
      connection.request('executions/series', { ...selection, bucket, by: 'status' }),
      connection.request('executions/stats', selection),
      connection.request('nodes/stats', { ...selection, orderBy: 'mostExpensive', limit: NODES }),
      connection.request('nodes/stats', { ...selection, orderBy: 'mostFailing', limit: NODES }),
      connection.request('errors/groups', { ...selection, limit: GROUPS, since: '-1d' }),
    ]);
    return { series, stats, expensive: expensive.nodes, failing: failing.nodes, errors: errors.groups, bucket };
  }

  #say(what: ToDashboard): void {
    void this.#panel?.webview.postMessage(what);
  }
}

/** From when on: whole days of the person's zone, so that the first bar is no part of a day. */
function since(range: Range): string {
  if (range === 'all') return '';
  if (range === '24h') return 'startedAt >= -24h';
  const day = new Date();
  day.setDate(day.getDate() - Number.parseInt(range, 10) + 1);
  // Swedish dates are ISO dates
  return `startedAt >= ${day.toLocaleDateString('sv')}`;
}
