/** A value of a record as text, JSON or Markdown; a large one piece by piece. */
import DOMPurify from 'dompurify';
import MarkdownIt from 'markdown-it';
import { bytes, count, visible } from '../src/format';
import { parse } from '../src/json';
import type { Cut, Piece } from '../../clients/node/types';
import { arrange, h } from './dom';
import { act, fieldsOf } from './fields';

type Mode = 'Text' | 'JSON' | 'Markdown';

/** How many UTF-16 units of a text are given at once, and how many bytes of anything else at first. */
const PIECE_UNITS = 64 * 1024;
const PIECE_BYTES = 1 << 20;
/** So much the daemon gives at once, and no more. */
const PIECE_MOST_BYTES = 63 << 20;
/** Larger texts stay text: to colour or to lay them out would take too long. */
const COLOURED_UNITS = 200_000;
// no part of it may begin where it goes on: a text of brackets only would take seconds
const MARKDOWN_HINTS = /^(#{1,6} |[-*] |\d+\. |> |```|\|.*\|)|\*\*[^*\n]+\*\*|\[[^[\]\n]+\]\([^()\n]+\)/m;

// no HTML is let through, and images would be fetched from wherever the record says
const markdown = new MarkdownIt({ html: false, linkify: false }).disable('image');

interface Section {
  element: HTMLElement;
  /** Shows another version of the value. */
  update: (value: unknown, cut: readonly Cut[]) => void;
}

/** The sections of the run that is shown, by pointer: how somebody reads one stays when the run changes. */
const sections = new Map<string, Section>();

export function forgetSections(): void {
  sections.clear();
}

/** The section for one value, if there is one; `cut` says what of it is not there. */
export function valueSection(title: string, pointer: string, value: unknown, cut: readonly Cut[], level: 'h2' | 'h4'): HTMLElement[] {
  if (value == null) return [];
  let section = sections.get(pointer);
  if (!section) sections.set(pointer, section = newSection(title, pointer, level));
  section.update(value, cut.filter((one) => one.pointer === pointer || one.pointer.startsWith(`${pointer}/`)));
  return [section.element];
}

function newSection(title: string, pointer: string, level: 'h2' | 'h4'): Section {
  const body = h('div', { class: 'body' });
  const foot = h('p', { class: 'foot' });
  /** What there is of this version, how long all of it is if it is a text, and what is shown. */
  let given: { value: unknown; cut: readonly Cut[]; total: number } = { value: undefined, cut: [], total: 0 };
  let value: unknown;
  /** The mode that somebody has chosen. */
  let chosen: Mode | undefined;
  /** How much somebody wants: so many units of a text, so many bytes of anything else. */
  let wanted = 0;
  let shownAs: Mode | undefined;
  let turn = 0;

  const buttons = (['Text', 'JSON', 'Markdown'] as const).map((name) => h('button', { click: () => { chosen = name; draw(); } }, name));
  const modes = h('span', { class: 'modes', role: 'group', 'aria-label': `${title} as` });
  const draw = (): void => {
    const possible = (name: Mode): boolean => typeof value === 'string' && (name !== 'JSON' || parsed(value) !== undefined);
    const mode = chosen && possible(chosen) ? chosen : best(value);
    const old = body.firstElementChild;
    const focused = old !== null && old === document.activeElement;
    const scrolled = mode === shownAs ? old?.scrollTop ?? 0 : 0;
    const made = shown(value, mode);
    const selected = mode === shownAs && old ? selectedIn(old) : undefined;
    body.replaceChildren(made);
    if (selected) select(made, selected);
    if (focused) made.focus({ preventScroll: true });
    made.scrollTop = scrolled;
    shownAs = mode;
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.textContent === mode));
    arrange(modes, buttons.filter(({ textContent }) => possible(textContent as Mode)));
  };

  const load = h('button', { click: () => {
    wanted = typeof value === 'string' ? value.length + PIECE_UNITS : wanted === 0 ? PIECE_BYTES : Math.min(8 * wanted, PIECE_MOST_BYTES);
    void fill();
  } }, 'Load more');
  /** Asks for what is wanted and not given, and shows it; without it, what is given. */
  const fill = async (): Promise<void> => {
    const mine = ++turn;
    let trouble = '';
    let { value: now, cut, total } = given;
    try {
      while (typeof now === 'string' ? now.length < Math.min(wanted, total) : wanted > 0 && cut.length > 0) {
        const text = typeof now === 'string';
        const start = text ? (now as string).length : 0;
        const asked = text ? { maxBytes: PIECE_BYTES, range: { start, end: wanted } } : { maxBytes: wanted };
        const piece: Piece | undefined = (await fieldsOf({ fields: [pointer], ...asked }))[pointer];
        if (mine !== turn) return;
        if (!piece) throw new Error('It is not there any more.');
        now = text ? now + String(piece.value) : piece.value;
        total = piece.length ?? total;
        if (!piece.truncated) cut = [];
        if (!text || piece.value === '') break;
      }
    } catch (error) {
      if (mine !== turn) return;
      trouble = (error as Error).message;
    }
    given = { value: now, cut, total };
    if (!same(value, now)) {
      value = now;
      draw();
    }
    const whole = cut.find((one) => one.pointer === pointer);
    const left = trouble !== '' ? `${trouble} ` : typeof value === 'string'
      ? value.length < total ? `${count(value.length)} of ${count(total)} characters ` : ''
      : whole ? `Not all of its ${bytes(whole.sizeBytes)} are shown ` : cut.length > 0 ? 'Not all of it is shown ' : '';
    if (left === '') foot.replaceChildren();
    else if (load.parentElement) load.previousSibling?.replaceWith(left);
    else foot.replaceChildren(left, load);
  };

  const copy = (): void => act({ type: 'copy', pointer });
  const element = h('section', { class: `value ${title.toLowerCase()}`, 'data-pointer': pointer },
    h('div', { class: 'bar' }, h(level, {}, title), modes, h('button', { class: 'copy', 'aria-label': `Copy ${title.toLowerCase()}`, click: copy }, 'Copy')),
    body, foot);
  const update = (next: unknown, cut: readonly Cut[]): void => {
    given = { value: next, cut, total: cut.find((one) => one.pointer === pointer)?.length ?? 0 };
    void fill();
  };
  return { element, update };
}

interface Selected { text: string; from: number; to: number }

/** What is selected in an element, if all of it is there: the element's text so far, and from where to where. */
function selectedIn(element: Element): Selected | undefined {
  const selection = getSelection();
  if (!selection || selection.isCollapsed || selection.rangeCount === 0) return undefined;
  const range = selection.getRangeAt(0);
  if (!element.contains(range.commonAncestorContainer)) return undefined;
  const before = document.createRange();
  before.setStart(element, 0);
  before.setEnd(range.startContainer, range.startOffset);
  const from = before.toString().length;
  const to = from + range.toString().length;
  return { text: (element.textContent ?? '').slice(0, to), from, to };
}

/** Selects it again where the text is still the same. */
function select(element: Element, { text, from, to }: Selected): void {
  if (!element.textContent?.startsWith(text)) return;
  const place = (offset: number): [Node, number] => {
    const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    let node: Node = element;
    for (let next = texts.nextNode(); next; next = texts.nextNode()) {
      const length = next.nodeValue?.length ?? 0;
      node = next;
      if (offset <= length) return [node, offset];
      offset -= length;
    }
    return [node, node.nodeValue?.length ?? 0];
  };
  getSelection()?.setBaseAndExtent(...place(from), ...place(to));
}

/** Whether two values are written alike. */
function same(a: unknown, b: unknown): boolean {
  return typeof a === 'string' || typeof b === 'string' ? a === b : JSON.stringify(a) === JSON.stringify(b);
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
    const fragment = DOMPurify.sanitize(markdown.render(visible(value)), { USE_PROFILES: { html: true }, RETURN_DOM_FRAGMENT: true });
    const div = h('div', { class: 'markdown' });
    div.append(fragment);
    for (const block of div.querySelectorAll('pre')) block.tabIndex = 0;
    return div;
  }
  const pre = h('pre', { tabindex: '0', role: 'region', 'aria-label': 'content' });
  if (mode === 'JSON') pre.append(...coloured(visible(JSON.stringify(typeof value === 'string' ? parsed(value) : value, null, 2) ?? '')));
  else pre.textContent = visible(String(value));
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
