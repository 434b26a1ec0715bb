/** The panel with charts: asks the daemon for what they show, and leads from a bar to the runs behind it. */
import * as vscode from 'vscode';
import { SILENT, type Connection } from './connection';
import { and, type Filter } from './filter';
import { message, timezone } from './format';
import type { Asked, DashboardData, FromDashboard, Range, ToDashboard } from './messages';
import { nameOf } from './roots';
import type { ProjectNode } from './rows';
import { Run } from './run';
import type { Session } from './session';
import { Page } from './webview';

const REFRESH_EVERY_MS = 2_000;
const NODES = 10;
const GROUPS = 20;
const PROJECTS = 1000;

const BUCKETS: Record<Range, DashboardData['bucket']> = { '24h': 'hour', '7d': 'day', '30d': 'day', '90d': 'day', '365d': 'week', all: 'month' };

export class Dashboard extends Page<ToDashboard, FromDashboard, Asked> {
  #asked: Asked = { root: '', projectId: '', range: '30d' };
  /** Of what the page asked for last. */
  #number = 0;
  #turn = 0;

  constructor(session: Session, private readonly filter: Filter, context: vscode.ExtensionContext, private readonly open: (run: Run) => void) {
    super(session, context, 'dashboard', 'Runlog Dashboard', REFRESH_EVERY_MS);
    context.subscriptions.push(
      session.onChanged(() => this.soon()),
      session.onTold(({ connection }) => connection === this.#connection && this.soon()),
    );
  }

  show(project?: ProjectNode): void {
    if (project?.kind === 'project') this.#asked = { ...this.#asked, root: project.connection.root, projectId: project.id };
    this.reveal();
  }

  protected restore(asked: Asked | undefined): boolean {
    if (asked) this.#asked = asked;
    return true;
  }

  /** The root that is shown: the chosen one, else the first that can be. */
  get #connection(): Connection | undefined {
    return this.session.at(this.#asked.root) ?? this.session.first;
  }

  protected async heard(said: FromDashboard): Promise<void> {
    if (said.type === 'ask') {
      this.#asked = said.asked;
      this.#number = said.number;
      await this.update();
    } else if (said.type === 'show') {
      const { projectId, range } = this.#asked;
      this.filter.set(and(since(range), projectId && `project = ${JSON.stringify(projectId)}`, said.where), said.status);
      await vscode.commands.executeCommand('runlog.runs.focus');
    } else if (this.#connection) {
      this.open(new Run(this.#connection, said.projectId, said.executionId));
    }
  }

  protected async update(): Promise<void> {
    const connection = this.#connection;
    if (!this.ready) return;
    const turn = ++this.#turn;
    const answer = connection ? await connection.unlessSilent(this.#answer(connection)) ?? SILENT : 'No runs are served in this window.';
    if (turn !== this.#turn) return;
    const { projects, data } = typeof answer === 'string' ? { projects: [], data: answer } : answer;
    const roots = this.session.connections.map((one) => ({ root: one.root, name: nameOf(one) }));
    const asked = { ...this.#asked, root: connection?.root ?? this.#asked.root };
    // that one stays, whichever is the first then
    if (typeof data !== 'string') this.#asked = asked;
    this.#tell({ number: this.#number, asked, roots, projects, timezone: timezone(), data });
  }

  /** What a root's daemon tells, or why it tells nothing. */
  async #answer(connection: Connection): Promise<{ projects: string[]; data: DashboardData } | string> {
    try {
      const { groups } = await connection.request('executions/count', { groupBy: ['project'], limit: PROJECTS });
      return { projects: (groups ?? []).flatMap(({ key: [id] }) => id ?? []), data: await this.#data(connection) };
    } catch (error) {
      return message(error);
    }
  }

  /** A picture that would be the same keeps its focus and its open tables. */
  #tell(what: ToDashboard): void {
    const text = JSON.stringify(what);
    if (text !== this.sent) this.say(what);
    this.sent = text;
  }

  async #data(connection: Connection): Promise<DashboardData> {
    const { projectId, range } = this.#asked;
    const bucket = BUCKETS[range];
    // percentiles are told with a filter only
    const selection = { where: since(range) || 'id is not null', timezone: timezone(), projectId: projectId || null };
    const [{ buckets }, { clock: _, ...stats }, expensive, failing, errors] = await Promise.all([
      connection.request('executions/series', { ...selection, bucket, by: 'status' }),
      connection.request('executions/stats', selection),
      connection.request('nodes/stats', { ...selection, orderBy: 'mostExpensive', limit: NODES }),
      connection.request('nodes/stats', { ...selection, orderBy: 'mostFailing', limit: NODES }),
      connection.request('errors/groups', { ...selection, limit: GROUPS, since: '-1d' }),
    ]);
    return { buckets, stats, expensive: expensive.nodes, failing: failing.nodes, errors: errors.groups, bucket };
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
