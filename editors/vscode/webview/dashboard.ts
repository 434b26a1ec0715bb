/** The page with the charts: what each shows, and which runs are behind each bar. */
import { ago, count, counted, dollars, price, span, visible } from '../src/format';
import type { Asked, DashboardData, FromDashboard, Range, ToDashboard } from '../src/messages';
import type { ErrorGroup, NodeStats } from '../../clients/node/types';
import { COLOURS, figure, forgetCharts, idOf, repaint, type ChartSpec } from './charts';
import { arrange, h } from './dom';
import { hear, main, vscode } from './page';

const say = (what: FromDashboard): void => vscode.postMessage(what);
const show = (where: string, status: string[] = []): void => say({ type: 'show', where, status });

const RANGES: Record<Range, string> = {
  '24h': 'Last 24 hours', '7d': 'Last 7 days', '30d': 'Last 30 days', '90d': 'Last 90 days', '365d': 'Last year', all: 'All time',
};
/** Milliseconds that people count durations by: up to a day. */
const ROUND_SPANS = [10, 20, 50, 100, 200, 500, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400].map((seconds) => 1000 * seconds)];

type Data = ToDashboard & { data: DashboardData };
/** What was asked for last, and how often something was: an answer to what was asked before may still be on its way. */
let wanted: Asked | undefined;
let number = 0;
/** The parts that are shown, and what each was drawn from. */
const drawn = new Map<string, { from: string; element: HTMLElement }>();
const grid = h('div', { class: 'grid' });

repaint();
new MutationObserver(repaint).observe(document.body, { attributes: true, attributeFilter: ['class', 'data-vscode-theme-id'] });
hear((told: ToDashboard) => {
  if (number > 0 && told.number !== number) return;
  wanted = told.asked;
  vscode.setState(told.asked);
  draw(told);
});

function draw(told: ToDashboard): void {
  // not while somebody types elsewhere: to focus anything here would take that from him
  const focused = document.hasFocus() ? document.activeElement?.id : undefined;
  const { scrollY } = window;
  const { asked, roots, projects, timezone } = told;
  arrange(main, [part('controls', [asked, roots, projects, timezone], () => controls(told)), ...typeof told.data === 'string' ? [trouble(told.data)] : parts(told as Data)]);
  forget();
  if (focused) document.getElementById(focused)?.focus();
  scrollTo(0, scrollY);
}

function trouble(text: string): HTMLElement {
  return part('trouble', text, () => h('p', { role: 'alert' }, visible(text)));
}

/** What is below the controls. */
function parts(data: Data): HTMLElement[] {
  const { stats, expensive, failing, errors, buckets } = data.data;
  const starts = buckets.map(({ start }) => start);
  const charts = [
    ...daily(data),
    // nodes that have cost nothing, or never failed, are not the most of anything
    nodes('Most expensive nodes', 'cost', expensive.filter(({ costUSD }) => costUSD), ({ costUSD }) => costUSD ?? null, money, COLOURS.running, 'nodeId'),
    nodes('Most failing nodes', 'failed steps', failing.filter(({ failures }) => failures > 0), ({ failures }) => failures, count, COLOURS.failed, 'failedNode'),
  ].filter(({ labels }) => labels.length > 0);
  const some = stats.totalExecutions > 0;
  arrange(grid, some ? charts.map((spec) => part(spec.title, [spec, starts], (old) => figure(spec, old))) : []);
  return [
    ...(some ? [part('tiles', stats, () => tiles(data)), grid] : [part('none', '', () => h('p', { class: 'quiet' }, 'No runs in this range.'))]),
    ...(some && errors.length > 0 ? [part('errors', [errors, errors.map(({ lastSeenAt }) => ago(lastSeenAt))], () => errorGroups(errors))] : []),
  ];
}

/** A part of the page: one that would be drawn from the same is left alone, with the focus and the open list that is in it. */
function part(name: string, drawnFrom: unknown, make: (old: HTMLElement | undefined) => HTMLElement): HTMLElement {
  const from = JSON.stringify(drawnFrom);
  const old = drawn.get(name);
  if (old?.from === from) return old.element;
  const element = make(old?.element);
  drawn.set(name, { from, element });
  return element;
}

/** Forgets what is shown no longer. */
function forget(): void {
  for (const [name, { element }] of drawn) if (!element.isConnected) drawn.delete(name);
  forgetCharts();
}

function controls({ asked, roots, projects, timezone }: ToDashboard): HTMLElement {
  const pick = (id: string, label: string, options: Array<[value: string, text: string]>, value: string, change: (value: string) => Partial<Asked>): HTMLElement => {
    const ask = (): void => {
      wanted = { ...(wanted ?? asked), ...change(select.value) };
      say({ type: 'ask', number: ++number, asked: wanted });
    };
    const select = h('select', { id, change: ask },
      ...options.map(([key, text]) => h('option', { value: key, selected: key === value }, visible(text))));
    return h('label', {}, label, select);
  };
  // the one that is shown may have gone, and is not to look like all of them
  const offered = projects.includes(asked.projectId) ? projects : [asked.projectId, ...projects];
  return h('header', { class: 'controls' }, h('h1', {}, 'Dashboard'),
    roots.length > 1 && pick('root', 'Root', roots.map(({ root, name }) => [root, name]), asked.root, (root) => ({ root, projectId: '' })),
    pick('project', 'Project', [['', 'All projects'], ...offered.filter((id) => id !== '').map((id): [string, string] => [id, id])], asked.projectId, (projectId) => ({ projectId })),
    pick('range', 'Range', Object.entries(RANGES), asked.range, (range) => ({ range: range as Range })),
    h('span', { class: 'quiet' }, timezone));
}

function money(value: number): string {
  return dollars(value) ?? '';
}

function percent(value: number): string {
  return `${Number((100 * value).toFixed(1))} %`;
}

function tiles({ data: { stats } }: Data): HTMLElement {
  // a tile has no room for what is `exact`
  const tile = (name: string, value: string | undefined, where: string, status: string[] = [], exact?: string): HTMLElement => h('div', { class: 'tile' },
    h('span', { class: 'quiet' }, name),
    value === undefined ? h('strong', {}, '–') : h('button', { id: idOf('tile', name), class: 'link', 'data-tile': name, title: exact, 'aria-label': `${name}: ${value}. Show the runs`, click: () => show(where, status) }, value));
  const slower = (name: string, millis: number | null | undefined): HTMLElement => tile(name, span(millis), `duration >= ${millis}ms`);
  return h('section', { class: 'tiles', 'aria-label': 'In this range' },
    tile('Runs', count(stats.totalExecutions), ''), tile('Failed', count(stats.failed), '', ['failed']), tile('Cost', price(stats.totalCostUSD), 'costUSD > 0', [], money(stats.totalCostUSD)),
    tile('Success rate', stats.successRate == null ? undefined : percent(stats.successRate), '', ['completed', 'failed']),
    slower('Median duration', stats.duration?.p50), slower('95th percentile of duration', stats.duration?.p95), slower('99th percentile of duration', stats.duration?.p99));
}

function daily({ data: { bucket, buckets }, timezone }: Data): ChartSpec[] {
  const label = new Intl.DateTimeFormat(undefined, { timeZone: timezone, ...LABELS[bucket] });
  const axis = { rows: bucket.charAt(0).toUpperCase() + bucket.slice(1), labels: buckets.map(({ start }) => label.format(new Date(start))) };
  const within = (row: number): string => `startedAt >= ${buckets[row]?.start} and startedAt < ${buckets[row]?.end}`;
  // the statuses that are known in their order, then what else there is
  const statuses = [...new Set(buckets.flatMap(({ groups }) => groups?.map(({ key }) => key ?? null) ?? []))];
  const known = Object.keys(COLOURS).filter((status) => statuses.includes(status));
  const keys = [...known, ...statuses.filter((key) => key === null || !known.includes(key))];
  const byStatus = (title: string, format: (value: number) => string, value: 'executions' | 'totalCostUSD'): ChartSpec => ({
    title, ...axis, kind: 'stacked', format,
    series: keys.map((key) => ({
      name: visible(key ?? 'no status'), colour: colour(key),
      values: buckets.map(({ groups }) => groups?.find((group) => (group.key ?? null) === key)?.[value] ?? 0),
    })),
    show: (row, column) => {
      const key = keys[column];
      if (key == null) show(`${within(row)} and status is null`);
      else show(within(row), [key]);
    },
  });
  const spans = (['p50', 'p95'] as const).map((name) => buckets.map(({ duration }) => duration[name] ?? null));
  return [
    byStatus(`Runs a ${bucket}`, count, 'executions'),
    byStatus(`Cost a ${bucket}`, money, 'totalCostUSD'),
    {
      title: 'Success rate', ...axis, kind: 'line', format: percent, max: 1,
      series: [{ name: 'completed of completed and failed', colour: COLOURS.completed, values: buckets.map(({ successRate }) => successRate ?? null) }],
      show: (row) => show(within(row), ['completed', 'failed']),
    },
    {
      title: 'Duration', ...axis, kind: 'bars', format: (value) => span(value) ?? '', steps: ROUND_SPANS,
      series: [{ name: 'median', colour: COLOURS.other, values: spans[0] ?? [] }, { name: '95th percentile', colour: COLOURS.queued, values: spans[1] ?? [] }],
      show: (row, column) => show(`${within(row)} and duration >= ${spans[column]?.[row]}ms`),
    },
  ];
}

function colour(status: string | null): string {
  return status !== null && Object.hasOwn(COLOURS, status) ? COLOURS[status as keyof typeof COLOURS] : COLOURS.other;
}

const LABELS: Record<DashboardData['bucket'], Intl.DateTimeFormatOptions> = {
  hour: { hour: '2-digit', minute: '2-digit', weekday: 'short' }, day: { day: 'numeric', month: 'short' },
  week: { day: 'numeric', month: 'short' }, month: { month: 'short', year: 'numeric' },
};

/** Nodes in the daemon's order. */
function nodes(
  title: string, name: string, found: NodeStats[], value: (node: NodeStats) => number | null, format: (value: number) => string, colour: string, field: string,
): ChartSpec {
  return {
    title, rows: 'Node', labels: found.map(({ nodeId }) => visible(nodeId)), kind: 'horizontal', format, series: [{ name, colour, values: found.map(value) }],
    show: (row) => show(`${field} = ${JSON.stringify(found[row]?.nodeId)}`),
  };
}

function errorGroups(groups: ErrorGroup[]): HTMLElement {
  const most = groups[0]?.count ?? 1;
  return h('section', { class: 'errors' }, h('h2', {}, 'Errors that are alike'), h('ul', {}, ...groups.map((group) => {
    const bar = h('span', { class: 'fill failed', 'aria-hidden': 'true' });
    bar.style.width = `${(100 * group.count) / most}%`;
    return h('li', {},
      h('button', { id: idOf('group', group.fingerprint), class: 'group', 'data-count': group.count, title: visible(group.pattern), click: () => show(`errorGroup = ${JSON.stringify(group.fingerprint)}`) },
        h('span', { class: 'track' }, bar), h('span', { class: 'number' }, counted(group.count, 'run')), h('code', {}, visible(group.pattern))),
      h('span', { class: 'quiet' }, `${group.new ? 'new, ' : ''}last ${ago(group.lastSeenAt)} `,
        h('button', { id: idOf('latest', group.fingerprint), class: 'link', click: () => say({ type: 'open', ...group.example }) }, 'latest run')));
  })));
}
