/** Which runs the view shows, and the boxes in which that is said. */
import * as vscode from 'vscode';
import type { Params } from './connection';
import { line, message, timezone } from './format';
import type { CheckResult } from '../../clients/node/types';
import type { Session } from './session';
import { STATUSES, statusIcon } from './status';
import { plain, said } from './tell';

/** The members that `executions/list` and all like it take. */
export type Selection = Pick<Params<'executions/list'>, 'status' | 'where' | 'timezone'>;

export class Filter {
  where = '';
  status: string[] = [];

  readonly #changed = new vscode.EventEmitter<void>();
  readonly onChanged = this.#changed.event;

  constructor(private readonly session: Session) {}

  get active(): boolean {
    return this.where !== '' || this.status.length > 0;
  }

  /** Whether the view has the pinned runs before the others. */
  get pinnedFirst(): boolean {
    return vscode.workspace.getConfiguration('runlog').get('pinnedFirst', false);
  }

  /** As params; `also` narrows it further. */
  selection(...also: string[]): Selection {
    const where = and(this.where, ...also);
    return {
      ...(where === '' ? {} : { where, timezone: timezone() }),
      ...(this.status.length === 0 ? {} : { status: this.status }),
    };
  }

  /** As one line for people. */
  get text(): string {
    return line(this.status.join(', '), this.where);
  }

  set(where: string, status: string[]): void {
    if (where === this.where && status.join() === this.status.join()) return;
    this.where = where;
    this.status = status;
    void vscode.commands.executeCommand('setContext', 'runlog.filtered', this.active);
    this.#changed.fire();
  }

  async pickStatus(): Promise<void> {
    const items = STATUSES.map((label) => ({ label, iconPath: statusIcon(label, false), picked: this.status.includes(label) }));
    const picked = await vscode.window.showQuickPick(items, { canPickMany: true, placeHolder: 'Statuses to show; none means all' });
    if (picked) this.set(this.where, picked.map(({ label }) => label));
  }

  /** The filter box: what could be written next, what is wrong and where, and the filter itself. */
  edit(): void {
    const box = vscode.window.createQuickPick<Suggestion>();
    box.title = 'Filter runs';
    box.placeholder = 'status = failed and costUSD > 0.5 and startedAt >= -7d';
    box.value = this.where;
    box.matchOnDescription = false;
    let checked: { text: string; result: CheckResult } | undefined;
    let asked = 0;
    const check = async (): Promise<void> => {
      const turn = ++asked;
      const text = box.value;
      const connection = this.session.connections[0];
      if (!connection) return;
      box.busy = true;
      try {
        const result = await connection.request('filter/check', { text, offset: text.length });
        if (turn !== asked) return;
        checked = { text, result };
        box.items = suggestions(text, result);
      } catch (error) {
        if (turn === asked) box.items = [said(message(error))];
      }
      box.busy = false;
    };
    box.onDidChangeValue(check);
    box.onDidAccept(async () => {
      const [picked] = box.activeItems;
      if (picked?.insert) {
        const { from, to, text } = picked.insert;
        box.value = `${box.value.slice(0, from)}${text}${box.value.slice(to)} `;
        return check();
      }
      // what was typed last may not have been checked yet
      if (checked?.text !== box.value) await check();
      if (checked?.text !== box.value || !checked.result.ok) return;
      this.set(box.value.trim(), this.status);
      box.hide();
    });
    box.onDidHide(() => box.dispose());
    box.show();
    void check();
  }
}

/** All of these filters as one. */
export function and(...filters: string[]): string {
  return filters.filter((filter) => filter !== '').map((filter) => (/\bor\b/i.test(filter) ? `(${filter})` : filter)).join(' and ');
}

interface Suggestion extends vscode.QuickPickItem {
  insert?: { from: number; to: number; text: string };
}

function suggestions(text: string, { ok, error, completions }: CheckResult): Suggestion[] {
  const items: Suggestion[] = [];
  if (ok) {
    items.push(said(text.trim() === '' ? 'Show all runs' : `Show runs with ${text.trim()}`, 'filter'));
  } else if (error) {
    const nearest = error.nearest ? ` Did you mean ${error.nearest}?` : '';
    const found = error.found === '' ? 'the end' : error.found;
    // an unfinished filter is no mistake yet
    const unfinished = error.offset >= text.trimEnd().length;
    const what = unfinished ? `Go on with ${error.expected}` : `At ${error.offset + 1}: ${found}, where ${error.expected} was expected.${nearest}`;
    items.push(unfinished ? said(what) : said(what, 'error', `${text.slice(0, error.offset)}▸${text.slice(error.offset, error.end)}◂${text.slice(error.end)}`));
  }
  for (const { text: label, detail, from, to } of completions) {
    items.push({ label: plain(label), description: plain(detail ?? ''), alwaysShow: true, insert: { from, to, text: label } });
  }
  return items;
}
