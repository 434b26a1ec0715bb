/** What is said between this page and the extension. */
import { parse } from '../src/json';

export const vscode = acquireVsCodeApi();
// both are in every page
export const main = document.getElementById('main') as HTMLElement;
const live = document.getElementById('live') as HTMLElement;

/** Hears what the extension says from now on. */
export function hear<To>(act: (told: To) => void): void {
  addEventListener('message', ({ data }: MessageEvent<string>) => act(parse(data) as To));
  vscode.postMessage('ready');
}

/** Tells a screen reader, unless it has heard just that. */
export function announce(text: string): void {
  if (live.textContent !== text) live.textContent = text;
}
