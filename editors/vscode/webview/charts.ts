/**
 * Charts that can be read without colour and used without a mouse: each is a picture by Chart.js, a group that
 * arrow keys move through, and a table with the same numbers, whose cells lead to the same runs.
 */
import { BarController, BarElement, CategoryScale, Chart, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip, type ChartConfiguration } from 'chart.js';
import { announce, h } from './dom';

Chart.register(BarController, BarElement, CategoryScale, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip);

/** Okabe and Ito's colours, which people with any kind of colour blindness can tell apart. */
export const COLOURS: Record<string, string> = {
  completed: '#009e73', failed: '#d55e00', running: '#56b4e9', queued: '#e69f00', paused: '#cc79a7', cancelled: '#999999', other: '#0072b2',
};
export const [FIRST, SECOND] = ['#0072b2', '#e69f00'];
/** Statuses that are hatched as well, as they matter most. */
const HATCHED = new Set(['failed', 'cancelled']);

export interface ChartSeries {
  name: string;
  colour: string;
  values: Array<number | null>;
}

export interface ChartSpec {
  title: string;
  /** What the rows of the table are, as a heading. */
  rows: string;
  labels: string[];
  series: ChartSeries[];
  kind: 'stacked' | 'bars' | 'line' | 'horizontal';
  format: (value: number) => string;
  /** The runs behind a bar. */
  show: (row: number, series: number) => void;
  max?: number;
  /** Distances of round values, where they are not decimal. */
  steps?: number[];
}

interface Drawn { chart: Chart; spec: ChartSpec; selected: [row: number, series: number] }
const drawn = new Map<string, Drawn>();

/** Forgets the charts of the page before. */
export function clearCharts(): void {
  for (const { chart } of drawn.values()) chart.destroy();
  drawn.clear();
}

export function figure(spec: ChartSpec): HTMLElement {
  const canvas = h('canvas', { 'aria-hidden': 'true' });
  const group = h('div', {
    class: `chart ${spec.kind}`, tabindex: '0', role: 'group',
    'aria-label': `${spec.title}: chart with ${spec.labels.length} ${spec.rows.toLowerCase()} values. Arrow keys move, Enter shows the runs.`,
  }, canvas);
  const box = h('figure', { 'data-chart': spec.title }, h('figcaption', {}, h('h2', {}, spec.title)), group, table(spec));
  // a chart measures what it is in
  queueMicrotask(() => {
    const chart = new Chart(canvas, config(spec));
    const state: Drawn = { chart, spec, selected: [-1, 0] };
    drawn.set(spec.title, state);
    group.addEventListener('keydown', (event) => key(event, state));
    group.addEventListener('blur', () => highlight(state, false));
  });
  return box;
}

function table({ title, rows, labels, series, format, show }: ChartSpec): HTMLElement {
  const cell = (row: number, column: number): HTMLElement => {
    const { name, values } = series[column] as ChartSeries;
    const value = values[row] ?? null;
    if (value === null) return h('td', {}, '–');
    const text = format(value);
    return h('td', { 'data-value': value }, value === 0 ? text : h('button', {
      class: 'link', 'aria-label': `${labels[row]}, ${name}: ${text}. Show the runs`, click: () => show(row, column),
    }, text));
  };
  return h('details', { class: 'table' }, h('summary', {}, 'Table'), h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${title}, table` }, h('table', {},
    h('caption', { class: 'unseen' }, title),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, rows), ...series.map(({ name }) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, ...labels.map((label, row) => h('tr', {}, h('th', { scope: 'row' }, label), ...series.map((_, column) => cell(row, column))))))));
}

function theme(name: string): string {
  return getComputedStyle(document.body).getPropertyValue(name).trim();
}

function hatch(colour: string): CanvasPattern | string {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 6;
  const pen = tile.getContext('2d');
  if (!pen) return colour;
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = theme('--vscode-editor-background') || '#fff';
  pen.lineWidth = 1.2;
  pen.beginPath();
  pen.moveTo(-1, 7);
  pen.lineTo(7, -1);
  pen.stroke();
  return pen.createPattern(tile, 'repeat') ?? colour;
}

function config({ labels, series, kind, format, show, max, steps }: ChartSpec): ChartConfiguration {
  const most = Math.max(...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const stepSize = steps?.find((step) => most / step <= 5);
  const text = theme('--vscode-foreground');
  const grid = theme('--vscode-editorWidget-border') || theme('--vscode-contrastBorder') || 'rgba(128, 128, 128, 0.3)';
  const horizontal = kind === 'horizontal';
  const names = { stacked: kind === 'stacked', grid: { display: false }, border: { color: grid }, ticks: { color: text, maxRotation: 0, autoSkip: !horizontal, autoSkipPadding: 12 } };
  const values = {
    stacked: kind === 'stacked', beginAtZero: true, grid: { color: grid }, border: { display: false },
    ticks: { color: text, maxTicksLimit: 6, ...(stepSize ? { stepSize } : {}), callback: (value: number | string) => format(Number(value)) }, ...(max === undefined ? {} : { max }),
  };
  return {
    type: kind === 'line' ? 'line' : 'bar',
    data: {
      labels: horizontal ? labels.map(short) : labels,
      datasets: series.map(({ name, colour, values: data }) => ({
        label: name, data, backgroundColor: HATCHED.has(name) ? hatch(colour) : colour, borderColor: colour, borderWidth: kind === 'line' ? 2 : 0,
        pointRadius: 3, spanGaps: true, clip: 8, maxBarThickness: horizontal ? 18 : 28, minBarLength: kind === 'stacked' ? 0 : 2,
      })),
    },
    options: {
      animation: false, maintainAspectRatio: false, responsive: true, indexAxis: horizontal ? 'y' : 'x',
      interaction: { mode: 'nearest', intersect: kind !== 'line' },
      scales: horizontal ? { x: values, y: names } : { x: names, y: values },
      plugins: {
        legend: { display: series.length > 1, position: 'bottom', labels: { color: text, boxWidth: 12, boxHeight: 12 } },
        tooltip: {
          callbacks: {
            title: ([item]) => (item ? labels[item.dataIndex] ?? '' : ''),
            label: ({ dataset, raw }) => `${dataset.label}: ${format(Number(raw))}`,
          },
        },
      },
      onClick: (_event, [element]) => element && show(element.index, element.datasetIndex),
      onHover: (event, elements) => {
        (event.native?.target as HTMLElement).style.cursor = elements.length > 0 ? 'pointer' : 'default';
      },
    },
  } as ChartConfiguration;
}

function short(label: string): string {
  return label.length > 22 ? `${label.slice(0, 21)}…` : label;
}

/** Left and right go from value to value, up and down from series to series; in a chart that lies down the other way round. */
function key(event: KeyboardEvent, state: Drawn): void {
  const { spec } = state;
  const [along, across] = spec.kind === 'horizontal' ? [['ArrowUp', 'ArrowDown'], ['ArrowLeft', 'ArrowRight']] : [['ArrowLeft', 'ArrowRight'], ['ArrowUp', 'ArrowDown']];
  let [row, series] = state.selected;
  const step = (keys: string[] | undefined): number => (keys?.[0] === event.key ? -1 : keys?.[1] === event.key ? 1 : 0);
  if (event.key === 'Enter' || event.key === ' ') {
    if (row >= 0) spec.show(row, series);
    event.preventDefault();
    return;
  }
  if (event.key === 'Home') row = 0;
  else if (event.key === 'End') row = spec.labels.length - 1;
  else if (step(along) !== 0) row += step(along);
  else if (step(across) !== 0) series += step(across);
  else return;
  event.preventDefault();
  row = Math.min(Math.max(row, 0), spec.labels.length - 1);
  series = Math.min(Math.max(series, 0), spec.series.length - 1);
  state.selected = [row, series];
  const value = spec.series[series]?.values[row];
  announce(`${spec.labels[row]}, ${spec.series[series]?.name}: ${value == null ? 'none' : spec.format(value)}`);
  highlight(state, true);
}

function highlight({ chart, selected: [index, datasetIndex] }: Drawn, on: boolean): void {
  const active = on && index >= 0 ? [{ datasetIndex, index }] : [];
  chart.setActiveElements(active);
  chart.tooltip?.setActiveElements(active, { x: 0, y: 0 });
  chart.update('none');
}

/** Draws again in the colours of another theme. */
export function repaint(): void {
  for (const state of drawn.values()) {
    const { data, options } = config(state.spec);
    state.chart.data = data;
    state.chart.options = options ?? {};
    state.chart.update('none');
  }
}
