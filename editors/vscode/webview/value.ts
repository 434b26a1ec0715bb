/** A value of a record as text, JSON or Markdown; a large one piece by piece. */
import DOMPurify from 'dompurify';
import MarkdownIt from 'markdown-it';
import { bytes, count } from '../src/format';
import { parse } from '../src/json';
import type { Cut, Piece } from '../../clients/node/types';
import { h } from './dom';

type Mode = 'Text' | 'JSON' | 'Markdown';

/** Larger texts stay text: to colour or to lay them out would take too long. */
const COLOURED_UNITS = 200_000;
const MARKDOWN_HINTS = /^(#{1,6} |[-*] |\d+\. |> |```|\|.*\|)|\*\*[^*\n]+\*\*|\[[^\]\n]+\]\([^)\n]+\)/m;
const TAGS = [
  'a', 'blockquote', 'br', 'code', 'del', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 's', 'strong',
  'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
];

// no HTML is let through, and images would be fetched from wherever the record says
const markdown = new MarkdownIt({ html: false, linkify: false }).disable('image');

export interface Asker {
  piece(pointer: string, start: number, bytes: number): Promise<Piece>;
  copy(pointer: string): void;
}

/** The section for one value; `cut` says what of it is not there. */
export function valueSection(title: string, pointer: string, value: unknown, cut: readonly Cut[], asker: Asker, level: 'h2' | 'h4'): HTMLElement {
  const mine = cut.filter((one) => one.pointer === pointer || one.pointer.startsWith(`${pointer}/`));
  const whole = mine.find((one) => one.pointer === pointer);
  const section = h('section', { class: 'value', 'data-pointer': pointer });
  const body = h('div', { class: 'body' });
  const modes = h('span', { class: 'modes', role: 'group', 'aria-label': `${title} as` });
  const foot = h('p', { class: 'foot' });
  let current = value;
  let length = whole?.length ?? 0;
  let mode = best(value);

  const draw = (): void => {
    body.replaceChildren(shown(current, mode));
    modes.replaceChildren(...(typeof current === 'string' ? (['Text', 'JSON', 'Markdown'] as const) : []).flatMap((name) => {
      if (name === 'JSON' && parsed(current) === undefined) return [];
      return [h('button', { 'aria-pressed': String(name === mode), click: () => { mode = name; draw(); } }, name)];
    }));
  };
  const rest = (): void => {
    foot.replaceChildren();
    if (typeof current === 'string') {
      if (current.length >= length) return;
      const start = current.length;
      foot.append(`${count(start)} of ${count(length)} characters `, more('Load more', async () => {
        const piece = await asker.piece(pointer, start, 0);
        current += typeof piece.value === 'string' ? piece.value : '';
        length = piece.length ?? length;
      }));
    } else if (mine.length > 0) {
      let limit = 1 << 20;
      const size = whole?.sizeBytes ?? mine.reduce((most, one) => Math.max(most, one.sizeBytes), 0);
      foot.append(`Not all of it is shown (${bytes(size)} or more) `, more('Load more', async () => {
        const piece = await asker.piece(pointer, 0, limit);
        current = piece.value;
        limit *= 8;
        if (!piece.truncated) mine.length = 0;
      }));
    }
  };
  const more = (text: string, load: () => Promise<void>): HTMLElement => h('button', {
    click: (event) => {
      (event.target as HTMLButtonElement).disabled = true;
      load().then(() => { draw(); rest(); }, (error: Error) => foot.replaceChildren(error.message));
    },
  }, text);

  const copy = h('button', { class: 'copy', 'aria-label': `Copy ${title.toLowerCase()}`, click: () => asker.copy(pointer) }, 'Copy');
  section.append(h('div', { class: 'bar' }, h(level, {}, title), modes, copy), body, foot);
  draw();
  rest();
  return section;
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
    const fragment = DOMPurify.sanitize(markdown.render(value), { ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ['href'], RETURN_DOM_FRAGMENT: true });
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
