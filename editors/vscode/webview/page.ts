/** What is said between this page and the extension. */
import { parse } from '../src/json';

export const vscode = acquireVsCodeApi();
export const main = byId('main');

/** Hears what the extension says from now on. */
export function hear<To>(act: (told: To) => void): void {
  addEventListener('message', ({ data }: MessageEvent<string>) => act(parse(data) as To));
  vscode.postMessage('ready');
}

/** Tells a screen reader. */
export function announce(text: string): void {
  byId('live').textContent = text;
}

function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no ${id}`);
  return element;
}
