/**
 * Whether somebody has scrolled down in the view. The API of trees does not tell, but the decoration of a row is only
 * asked for when the row is painted; so runs have URIs, of their own for each painting, and no decorations. As VS Code
 * asks everybody who decorates, only some runs have one: the first of each project, by which a reader further down is
 * known, and so many more that one is always in sight and one comes into sight with any turn of a wheel.
 */
import * as vscode from 'vscode';

/** The smallest view shows five rows. */
export const MARKED_EVERY = 4;

const SCHEME = 'runlog-row';
/** What is painted so long after the rest of a painting is painted because somebody scrolls. */
const TOGETHER_MS = 200;
/** VS Code keeps what it has asked for until it is told to forget it. */
const FORGET_EVERY = 50;

export class Painted implements vscode.FileDecorationProvider {
  readonly #forget = new vscode.EventEmitter<undefined>();
  readonly onDidChangeFileDecorations = this.#forget.event;
  readonly #looked = new vscode.EventEmitter<void>();
  /** A painting is done, or other rows are seen than it showed at first. */
  readonly onLooked = this.#looked.event;
  /** Whether rows came into sight after the painting: another one tells which are seen now. */
  scrolling = false;
  #painting = 0;
  #rows = new Set<string>();
  #last = 0;
  #scrolled = false;

  constructor(context: vscode.ExtensionContext) {
    context.subscriptions.push(vscode.window.registerFileDecorationProvider(this));
  }

  uri(row: string): vscode.Uri {
    return vscode.Uri.from({ scheme: SCHEME, path: `/${row}`, query: String(this.#painting) });
  }

  provideFileDecoration({ scheme, path, query }: vscode.Uri): undefined {
    if (scheme !== SCHEME || query !== String(this.#painting)) return;
    if (!this.seen) setTimeout(() => this.#looked.fire(), TOGETHER_MS);
    else if (Date.now() - this.#last > TOGETHER_MS) this.scrolling = true;
    this.#rows.add(path.slice(1));
    this.#last = Date.now();
    if (this.scrolling) this.#looked.fire();
  }

  /** Whether anything of this painting is seen. */
  get seen(): boolean {
    return this.#rows.size > 0;
  }

  /** Whether `top`, the first run of this painting, is out of sight. */
  scrolled(top: string | undefined): boolean {
    // what was not painted tells nothing
    if (top === undefined) this.#scrolled = false;
    else if (this.seen) this.#scrolled = this.scrolling || !this.#rows.has(top);
    return this.#scrolled;
  }

  /** Begins another painting. */
  next(): void {
    this.#rows = new Set();
    this.scrolling = false;
    if (++this.#painting % FORGET_EVERY === 0) this.#forget.fire(undefined);
  }
}
