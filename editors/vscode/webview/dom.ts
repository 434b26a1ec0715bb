/** Elements made from text: nothing a record says is ever parsed as HTML here. */

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

const SIGNS: Record<string, string> = { completed: '✓', failed: '✗', running: '↻', queued: '◷', paused: '‖', cancelled: '⊘' };

/** A status as a sign, a word and a colour. */
export function badge(status: string | null | undefined, stale = false): HTMLElement {
  const known = status != null && status in SIGNS ? status : 'other';
  return h('span', { class: `badge ${known}` }, h('span', { 'aria-hidden': 'true' }, SIGNS[known] ?? '?'), ` ${status ?? 'no status'}${stale ? ', stale' : ''}`);
}
