/** Elements made from text: nothing a record says is ever parsed as HTML here. */
import { visible } from '../src/format';

type Child = Node | string | false | null | undefined;
type Props = Record<string, string | boolean | number | ((event: Event) => void) | undefined>;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== false && child != null && child !== ''));
  return element;
}

/** Gives `parent` these children; who is there already stays where it is, with what is scrolled, selected and focused in it. */
export function arrange(parent: Element, children: readonly Element[]): void {
  const wanted = new Set<Element>(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}

/** Gives `parent` these children, in place of those that look otherwise. */
export function refill(parent: Element, children: readonly Element[]): void {
  arrange(parent, children.map((child, place) => {
    const old = parent.children[place];
    return old?.isEqualNode(child) ? old : child;
  }));
}

// a record's status may have the name of anything that objects have
const SIGNS = new Map([['completed', '✓'], ['failed', '✗'], ['running', '↻'], ['queued', '◷'], ['paused', '‖'], ['cancelled', '⊘']]);

/** The class that has the colour of a status. */
export function statusClass(status: string | null | undefined): string {
  return status != null && SIGNS.has(status) ? status : 'other';
}

/** A status as a sign, a word and a colour. */
export function badge(status: string | null | undefined, stale = false): HTMLElement {
  return h('span', { class: `badge ${statusClass(status)}` },
    h('span', { class: 'sign', 'aria-hidden': 'true' }, SIGNS.get(status ?? '') ?? '?'),
    h('span', { class: 'word' }, ` ${visible(status ?? 'no status')}${stale ? ', stale' : ''}`));
}
