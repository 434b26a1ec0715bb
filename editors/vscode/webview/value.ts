/** A value of a record as text, JSON or Markdown; a large one piece by piece. */
import DOMPurify from 'dompurify';
import MarkdownIt from 'markdown-it';
import { bytes, count } from '../src/format';
import { parse } from '../src/json';
import type { FromRun } from '../src/messages';
import type { Cut, Piece } from '../../clients/node/types';
import { h } from './dom';
import { fieldsOf } from './fields';
import { vscode } from './page';

type Mode = 'Text' | 'JSON' | 'Markdown';

/** How many UTF-16 units of a text are given at once, and how many bytes of anything else at first. */
const PIECE_UNITS = 64 * 1024;
const PIECE_BYTES = 1 << 20;
/** Larger texts stay text: to colour or to lay them out would take too long. */
const COLOURED_UNITS = 200_000;
const MARKDOWN_HINTS = /^(#{1,6} |[-*] |\d+\. |> |```|\|.*\|)|\*\*[^*\n]+\*\*|\[[^\]\n]+\]\([^)\n]+\)/m;

// no HTML is let through, and images would be fetched from wherever the record says
const markdown = new MarkdownIt({ html: false, linkify: false }).disable('image');

/** The section for one value, if there is one; `cut` says what of it is not there. */
export function valueSection(title: string, pointer: string, value: unknown, cut: readonly Cut[], level: 'h2' | 'h4'): HTMLElement[] {
  if (value == null) return [];
  let mine = cut.filter((one) => one.pointer === pointer || one.pointer.startsWith(`${pointer}/`));
  const whole = mine.find((one) => one.pointer === pointer);
  const body = h('div', { class: 'body' });
  const modes = h('span', { class: 'modes', role: 'group', 'aria-label': `${title} as` });
  const foot = h('p', { class: 'foot' });
  let length = whole?.length ?? 0;
  let maxBytes = PIECE_BYTES;
  let mode = best(value);

  const draw = (): void => {
    body.replaceChildren(shown(value, mode));
    modes.replaceChildren(...(typeof value === 'string' ? (['Text', 'JSON', 'Markdown'] as const) : []).flatMap((name) => {
      if (name === 'JSON' && parsed(value) === undefined) return [];
      return [h('button', { 'aria-pressed': String(name === mode), click: () => { mode = name; draw(); } }, name)];
    }));
  };
  const rest = (): void => {
    const left = typeof value === 'string'
      ? value.length < length && `${count(value.length)} of ${count(length)} characters `
      : whole ? `Not all of its ${bytes(whole.sizeBytes)} are shown ` : mine.length > 0 && 'Not all of it is shown ';
    foot.replaceChildren(...(left ? [left, h('button', { click: () => void more().catch((error: Error) => foot.replaceChildren(error.message)) }, 'Load more')] : []));
  };
  const more = async (): Promise<void> => {
    foot.querySelector('button')?.setAttribute('disabled', '');
    const start = typeof value === 'string' ? value.length : 0;
    const range = typeof value === 'string' ? { range: { start, end: start + PIECE_UNITS } } : {};
    const piece: Piece | undefined = (await fieldsOf({ fields: [pointer], maxBytes, ...range }))[pointer];
    if (!piece) throw new Error('It is not there any more.');
    if (typeof value !== 'string') maxBytes *= 8;
    value = typeof value === 'string' ? value + String(piece.value) : piece.value;
    length = piece.length ?? length;
    if (!piece.truncated) mine = [];
    draw();
    rest();
  };

  const copy = (): void => vscode.postMessage({ type: 'copy', pointer } satisfies FromRun);
  draw();
  rest();
  return [h('section', { class: `value ${title.toLowerCase()}`, 'data-pointer': pointer },
    h('div', { class: 'bar' }, h(level, {}, title), modes, h('button', { class: 'copy', 'aria-label': `Copy ${title.toLowerCase()}`, click: copy }, 'Copy')),
    body, foot)];
}

function best(value: unknown): Mode {
  if (typeof value !== 'string') return 'JSON';
  if (parsed(value) !== undefined) return 'JSON';
  return value.length < COLOURED_UNITS && MARKDOWN_HINTS.test(value) ? 'Markdown' : 'Text';
}

/** The object or array that a text is, if it is one. */
function parsed(value: unknown): unknown {
  if (typeof value !== 'string' || value.length > COLOURED_UNITS || !/^\s*[[{]/.test(value)) return undefined;
  try {
    return parse(value);
  } catch {
    return undefined;
  }
}

function shown(value: unknown, mode: Mode): HTMLElement {
  if (mode === 'Markdown' && typeof value === 'string') {
    const fragment = DOMPurify.sanitize(markdown.render(value), { USE_PROFILES: { html: true }, RETURN_DOM_FRAGMENT: true });
    const div = h('div', { class: 'markdown' });
    div.append(fragment);
    for (const block of div.querySelectorAll('pre')) block.tabIndex = 0;
    return div;
  }
  const pre = h('pre', { tabindex: '0', role: 'region', 'aria-label': 'content' });
  if (mode === 'JSON') pre.append(...coloured(JSON.stringify(typeof value === 'string' ? parsed(value) : value, null, 2) ?? ''));
  else pre.textContent = String(value);
  return pre;
}

const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** JSON with its names, texts and numbers in the theme's colours. */
function coloured(json: string): Array<Node | string> {
  if (json.length > COLOURED_UNITS) return [json];
  const parts: Array<Node | string> = [];
  let at = 0;
  for (const match of json.matchAll(TOKENS)) {
    parts.push(json.slice(at, match.index));
    const [token, text, colon] = match;
    parts.push(h('span', { class: text === undefined ? 'number' : colon === undefined ? 'string' : 'name' }, text ?? token), colon ?? '');
    at = match.index + token.length;
  }
  parts.push(json.slice(at));
  return parts;
}
