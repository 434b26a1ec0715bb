/**
 * Charts that can be read without colour and used without a mouse: each is a picture by Chart.js, a group that
 * arrow keys move through, and a table with the same numbers, whose cells lead to the same runs.
 */
import { BarController, BarElement, CategoryScale, Chart, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip } from 'chart.js';
import { h } from './dom';
import { announce } from './page';

Chart.register(BarController, BarElement, CategoryScale, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip);
Chart.defaults.set({
  animation: false, maintainAspectRatio: false, plugins: { legend: { position: 'bottom', labels: { boxWidth: 12, boxHeight: 12 } } },
  elements: { point: { radius: 3 }, line: { borderWidth: 2, borderJoinStyle: 'round' } },
});

/** Okabe and Ito's colours, which people with any kind of colour blindness can tell apart. */
export const COLOURS = {
  completed: '#009e73', failed: '#d55e00', running: '#56b4e9', queued: '#e69f00', paused: '#cc79a7', cancelled: '#999999', other: '#0072b2',
};
/** Statuses that are hatched as well, as they matter most. */
const HATCHED = ['failed', 'cancelled'];

export interface ChartSpec {
  title: string;
  /** What the rows of the table are, as a heading. */
  rows: string;
  labels: string[];
  series: Array<{ name: string; colour: string; values: Array<number | null> }>;
  kind: 'stacked' | 'bars' | 'line' | 'horizontal';
  format: (value: number) => string;
  /** The runs behind a bar. */
  show: (row: number, series: number) => void;
  max?: number;
  /** Distances of round values, where they are not decimal. */
  steps?: number[];
}

/** Where the arrow keys have come in the chart of each title, for the one that is drawn after it. */
const places = new Map<string, { row: number; column: number }>();

/** Forgets the charts that are on the page no longer. */
export function forgetCharts(): void {
  for (const chart of Object.values(Chart.instances)) if (!chart.canvas.isConnected) chart.destroy();
}

/** By which what has the focus is found in what is drawn anew. */
export function idOf(...names: string[]): string {
  return names.join('-').replace(/\s/g, '_');
}

/** Draws in the theme's colours, which may be others than before. */
export function repaint(): void {
  Chart.defaults.color = theme('--vscode-foreground');
  Chart.defaults.borderColor = theme('--vscode-editorWidget-border') || 'rgba(128, 128, 128, 0.35)';
  Chart.defaults.font.family = theme('--vscode-font-family');
  for (const chart of Object.values(Chart.instances)) chart.update();
}

/** A chart with its table, which is as open and as far scrolled as in the one before. */
export function figure(spec: ChartSpec, old?: HTMLElement): HTMLElement {
  const { title, rows, labels } = spec;
  const canvas = h('canvas', { 'aria-hidden': 'true' });
  const group = h('div', {
    id: idOf('chart', title), class: 'chart', tabindex: '0', role: 'group',
    'aria-label': `${title}: chart with ${labels.length} ${rows.toLowerCase()} values. Arrow keys move, Enter shows the runs.`,
  }, canvas);
  const numbers = table(spec, old?.querySelector('details')?.open ?? false);
  const { scrollTop, scrollLeft } = old?.querySelector('.scroll') ?? group;
  // a chart measures what it is in, and only what is on the page can be scrolled
  queueMicrotask(() => {
    operate(group, draw(canvas, spec), spec);
    numbers.querySelector('.scroll')?.scrollTo(scrollLeft, scrollTop);
  });
  return h('figure', { 'data-chart': title }, h('figcaption', {}, h('h2', {}, title)), group, numbers);
}

function table({ title, rows, labels, series, format, show }: ChartSpec, open: boolean): HTMLElement {
  const cell = (row: number, column: number): HTMLElement => {
    const value = series[column]?.values[row];
    if (value == null) return h('td', {}, '–');
    const text = format(value);
    const label = `${labels[row]}, ${series[column]?.name}: ${text}. Show the runs`;
    return h('td', { 'data-value': value }, value === 0 ? text : h('button', { id: idOf('cell', title, labels[row] ?? '', series[column]?.name ?? ''), class: 'link', 'aria-label': label, click: () => show(row, column) }, text));
  };
  return h('details', { open }, h('summary', { id: idOf('open', title) }, 'Table'), h('div', { id: idOf('table', title), class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${title}, table` }, h('table', {},
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
  pen.moveTo(-1, 7);
  pen.lineTo(7, -1);
  pen.stroke();
  return pen.createPattern(tile, 'repeat') ?? colour;
}

function draw(canvas: HTMLCanvasElement, { labels, series, kind, format, show, max, steps }: ChartSpec): Chart {
  const most = Math.max(...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const stepSize = steps?.find((step) => most / step <= 5);
  const horizontal = kind === 'horizontal';
  const stacked = kind === 'stacked';
  const names = { stacked, grid: { display: false }, ticks: { maxRotation: 0, autoSkip: !horizontal, autoSkipPadding: 12 } };
  const values = {
    stacked, beginAtZero: true, border: { display: false }, ...(max === undefined ? {} : { max }),
    ticks: { maxTicksLimit: 6, ...(stepSize ? { stepSize } : {}), callback: (value: number | string) => format(Number(value)) },
  };
  return new Chart<'bar' | 'line', Array<number | null>>(canvas, {
    type: kind === 'line' ? 'line' : 'bar',
    data: {
      labels: horizontal ? labels.map((label) => (label.length > 22 ? `${label.slice(0, 21)}…` : label)) : labels,
      datasets: series.map(({ name, colour, values: data }) => ({
        label: name, data, backgroundColor: () => (HATCHED.includes(name) ? hatch(colour) : colour),
        ...(kind === 'line' ? { borderColor: colour, spanGaps: true, clip: 8 } : { maxBarThickness: horizontal ? 18 : 28 }),
      })),
    },
    options: {
      indexAxis: horizontal ? 'y' : 'x',
      interaction: { mode: 'nearest', intersect: kind !== 'line' },
      scales: horizontal ? { x: values, y: names } : { x: names, y: values },
      plugins: {
        legend: { display: series.length > 1 },
        tooltip: { callbacks: { title: ([item]) => labels[item?.dataIndex ?? -1] ?? '', label: ({ dataset, raw }) => `${dataset.label}: ${format(Number(raw))}` } },
      },
      onClick: (_event, [element]) => element && show(element.index, element.datasetIndex),
      onHover: (_event, elements, { canvas }) => (canvas.style.cursor = elements.length > 0 ? 'pointer' : 'default'),
    },
  }) as Chart;
}

/** Left and right go from value to value, up and down from series to series; in a chart that lies down the other way round. */
function operate(group: HTMLElement, chart: Chart, { title, kind, labels, series, format, show }: ChartSpec): void {
  const [along, across] = [['ArrowLeft', 'ArrowRight'], ['ArrowUp', 'ArrowDown']];
  const [rowKeys, seriesKeys] = kind === 'horizontal' ? [across, along] : [along, across];
  let { row, column } = places.get(title) ?? { row: -1, column: 0 };
  const select = (active: Array<{ index: number; datasetIndex: number }>): void => {
    chart.setActiveElements(active);
    chart.tooltip?.setActiveElements(active, { x: 0, y: 0 });
    chart.update();
  };
  const moved = (from: number, keys: string[] | undefined, key: string, end: number): number => (
    Math.min(Math.max(from + (key === keys?.[1] ? 1 : key === keys?.[0] ? -1 : 0), 0), end));
  group.addEventListener('blur', () => select([]));
  group.addEventListener('keydown', (event) => {
    const { key } = event;
    if (![...along, ...across, 'Home', 'End', 'Enter', ' '].includes(key)) return;
    event.preventDefault();
    // where there is no value there are no runs behind it
    if (key === 'Enter' || key === ' ') return series[column]?.values[row] == null ? undefined : show(row, column);
    row = key === 'Home' ? 0 : key === 'End' ? labels.length - 1 : moved(row, rowKeys, key, labels.length - 1);
    column = moved(column, seriesKeys, key, series.length - 1);
    places.set(title, { row, column });
    const value = series[column]?.values[row];
    announce(`${labels[row]}, ${series[column]?.name}: ${value == null ? 'none' : format(value)}`);
    select([{ index: row, datasetIndex: column }]);
  });
  if (document.activeElement === group && series[column]?.values[row] !== undefined) select([{ index: row, datasetIndex: column }]);
}
