/** The page with the charts: what each shows, and which runs are behind each bar. */
import { ago, count, dollars, span } from '../src/format';
import type { Asked, FromDashboard, Range, ToDashboard } from '../src/messages';
import type { Distribution, ErrorGroup, NodeStats, SeriesBucket } from '../../clients/node/types';
import { clearCharts, COLOURS, figure, FIRST, repaint, SECOND, type ChartSpec } from './charts';
import { byId, h } from './dom';

const vscode = acquireVsCodeApi();
const main = byId('main');
const say = (what: FromDashboard): void => vscode.postMessage(what);
const show = (where: string, status: string[] = []): void => say({ type: 'show', where, status });

const RANGES: Record<Range, string> = {
  '24h': 'Last 24 hours', '7d': 'Last 7 days', '30d': 'Last 30 days', '90d': 'Last 90 days', '365d': 'Last year', all: 'All time',
};
/** Milliseconds that people count durations by: up to a day. */
const ROUND_SPANS = [10, 20, 50, 100, 200, 500, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400].map((seconds) => 1000 * seconds)];
const STATUSES = ['completed', 'failed', 'running', 'queued', 'paused', 'cancelled'];

type Data = Extract<ToDashboard, { type: 'data' }>;
let drawn = '';
/** What was asked for last: an answer may still be on its way. */
let wanted: Asked | undefined;

addEventListener('message', ({ data }: MessageEvent<ToDashboard>) => {
  if (data.type === 'error') {
    drawn = '';
    main.replaceChildren(h('p', { role: 'alert' }, data.text));
    return;
  }
  wanted = data.asked;
  vscode.setState(data.asked);
  // a picture that would be the same keeps its focus and its open tables
  const { clock: _, ...series } = data.data.series;
  const { clock: __, ...stats } = data.data.stats;
  const text = JSON.stringify({ ...data, data: { ...data.data, series, stats } });
  if (text === drawn) return;
  drawn = text;
  draw(data);
});
new MutationObserver(repaint).observe(document.body, { attributes: true, attributeFilter: ['class', 'data-vscode-theme-id'] });

function draw(data: Data): void {
  const open = [...main.querySelectorAll('details[open]')].map((table) => table.parentElement?.dataset['chart']);
  const focused = document.activeElement?.id;
  const { scrollY } = window;
  clearCharts();
  const { series, stats, expensive, failing, errors } = data.data;
  const parts: HTMLElement[] = [controls(data)];
  if (stats.totalExecutions === 0) {
    parts.push(h('p', { class: 'quiet' }, 'No runs in this range.'));
  } else {
    parts.push(tiles(data));
    const charts = series.buckets.length > 0 ? daily(series.buckets, data) : [];
    parts.push(h('div', { class: 'grid' },
      ...charts.map(figure),
      ...nodes('Most expensive nodes', expensive.filter(({ costUSD }) => costUSD), ({ costUSD }) => costUSD ?? 0, money, COLOURS['running'] ?? FIRST ?? '', false),
      ...nodes('Most failing nodes', failing.filter(({ failures }) => failures > 0), ({ failures }) => failures, count, COLOURS['failed'] ?? '', true)));
    if (errors.length > 0) parts.push(errorGroups(errors));
  }
  main.replaceChildren(...parts);
  for (const box of main.querySelectorAll('figure')) if (open.includes(box.dataset['chart'])) box.querySelector('details')?.setAttribute('open', '');
  if (focused) document.getElementById(focused)?.focus();
  scrollTo(0, scrollY);
}

function controls({ asked, roots, projects, timezone }: Data): HTMLElement {
  const pick = (id: string, label: string, options: Array<[value: string, text: string]>, value: string, change: (value: string) => Partial<Asked>): HTMLElement => {
    const ask = (): void => {
      wanted = { ...(wanted ?? asked), ...change(select.value) };
      say({ type: 'ask', asked: wanted });
    };
    const select = h('select', { id, change: ask },
      ...options.map(([key, text]) => h('option', { value: key, selected: key === value }, text)));
    return h('label', {}, label, select);
  };
  return h('header', { class: 'controls' }, h('h1', {}, 'Dashboard'),
    roots.length > 1 && pick('root', 'Root', roots.map(({ root, name }) => [root, name]), asked.root, (root) => ({ root, projectId: '' })),
    pick('project', 'Project', [['', 'All projects'], ...projects.map((id): [string, string] => [id, id])], asked.projectId, (projectId) => ({ projectId })),
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
  const tile = (name: string, value: string | undefined, where?: string, status: string[] = []): HTMLElement => h('div', { class: 'tile' },
    h('span', { class: 'quiet' }, name),
    value === undefined ? h('strong', {}, '–') : h('button', { class: 'link', 'data-tile': name, 'aria-label': `${name}: ${value}. Show the runs`, click: () => show(where ?? '', status) }, value));
  const at = (name: keyof Pick<Distribution, 'p50' | 'p95' | 'p99'>): [string | undefined, string] => {
    const value = stats.duration?.[name];
    return value == null ? [undefined, ''] : [span(value), `duration >= ${value}ms`];
  };
  return h('section', { class: 'tiles', 'aria-label': 'In this range' },
    tile('Runs', count(stats.totalExecutions)), tile('Failed', count(stats.failed), '', ['failed']), tile('Cost', money(stats.totalCostUSD), 'costUSD > 0'),
    tile('Success rate', stats.successRate == null ? undefined : percent(stats.successRate), '', ['completed', 'failed']),
    tile('Median duration', ...at('p50')), tile('95th percentile', ...at('p95')), tile('99th percentile', ...at('p99')));
}

function daily(buckets: SeriesBucket[], { data: { bucket }, timezone }: Data): ChartSpec[] {
  const label = labeller(bucket, timezone);
  const labels = buckets.map(({ start }) => label(new Date(start)));
  const rows = bucket.charAt(0).toUpperCase() + bucket.slice(1);
  const within = (row: number): string => `startedAt >= ${buckets[row]?.start} and startedAt < ${buckets[row]?.end}`;
  const known = (key: string | null | undefined): string => (key != null && STATUSES.includes(key) ? key : 'other');
  const present = [...STATUSES, 'other'].filter((status) => buckets.some(({ groups }) => groups?.some(({ key }) => known(key) === status)));
  // what has a status of its own is told by its name
  const keys = present.flatMap((status) => (status === 'other'
    ? [...new Set(buckets.flatMap(({ groups }) => groups?.flatMap(({ key }) => (known(key) === 'other' ? [key ?? null] : [])) ?? []))] : [status]));
  const byStatus = (title: string, format: (value: number) => string, value: 'executions' | 'totalCostUSD'): ChartSpec => ({
    title, rows, labels, kind: 'stacked', format,
    series: keys.map((key) => ({
      name: key ?? 'no status', colour: COLOURS[known(key)] ?? '',
      values: buckets.map(({ groups }) => groups?.find((group) => (group.key ?? null) === key)?.[value] ?? 0),
    })),
    show: (row, column) => {
      const key = keys[column];
      if (key == null) show(`${within(row)} and status is null`);
      else show(within(row), [key]);
    },
  });
  const percentile = (name: 'p50' | 'p95', text: string, colour: string | undefined) => ({
    name: text, colour: colour ?? '', values: buckets.map(({ duration }) => duration[name] ?? null),
  });
  return [
    byStatus(`Runs a ${bucket}`, count, 'executions'),
    byStatus(`Cost a ${bucket}`, money, 'totalCostUSD'),
    {
      title: 'Success rate', rows, labels, kind: 'line', format: percent, max: 1,
      series: [{ name: 'completed of completed and failed', colour: COLOURS['completed'] ?? '', values: buckets.map(({ successRate }) => successRate ?? null) }],
      show: (row) => show(within(row), ['completed', 'failed']),
    },
    {
      title: 'Duration', rows, labels, kind: 'bars', format: (value) => span(value) ?? '', steps: ROUND_SPANS,
      series: [percentile('p50', 'median', FIRST), percentile('p95', '95th percentile', SECOND)],
      show: (row, column) => {
        const value = buckets[row]?.duration[column === 0 ? 'p50' : 'p95'];
        show(`${within(row)} and duration >= ${value}ms`);
      },
    },
  ];
}

function labeller(bucket: Data['data']['bucket'], timeZone: string): (date: Date) => string {
  const options: Record<typeof bucket, Intl.DateTimeFormatOptions> = {
    hour: { hour: '2-digit', minute: '2-digit', weekday: 'short' }, day: { day: 'numeric', month: 'short' },
    week: { day: 'numeric', month: 'short' }, month: { month: 'short', year: 'numeric' },
  };
  const format = new Intl.DateTimeFormat(undefined, { timeZone, ...options[bucket] });
  return (date) => format.format(date);
}

function nodes(
  title: string, found: NodeStats[], value: (node: NodeStats) => number, format: (value: number) => string, colour: string, failed: boolean,
): HTMLElement[] {
  if (found.length === 0) return [];
  const name = failed ? 'failed steps' : 'cost';
  return [figure({
    title, rows: 'Node', labels: found.map(({ nodeId }) => nodeId), kind: 'horizontal', format,
    series: [{ name, colour, values: found.map(value) }],
    show: (row) => show(`${failed ? 'failedNode' : 'nodeId'} = ${JSON.stringify(found[row]?.nodeId)}`),
  })];
}

function errorGroups(groups: ErrorGroup[]): HTMLElement {
  const most = groups[0]?.count ?? 1;
  return h('section', { class: 'errors' }, h('h2', {}, 'Errors that are alike'), h('ul', {}, ...groups.map((group) => {
    const bar = h('span', { class: 'fill failed', 'aria-hidden': 'true' });
    bar.style.width = `${(100 * group.count) / most}%`;
    const text = `${count(group.count)} ${group.count === 1 ? 'run' : 'runs'}`;
    return h('li', {},
      h('button', { class: 'group', 'data-count': group.count, title: group.pattern, click: () => show(`errorGroup = ${JSON.stringify(group.fingerprint)}`) },
        h('span', { class: 'track' }, bar), h('span', { class: 'number' }, text), h('code', {}, group.pattern)),
      h('span', { class: 'quiet' }, `${group.new ? 'new, ' : ''}last ${ago(group.lastSeenAt)} `,
        h('button', { class: 'link', click: () => say({ type: 'open', ...group.example }) }, 'latest run')));
  })));
}

say({ type: 'ready' });
