/** Which runs the view shows, and the boxes in which that is said. */
import * as vscode from 'vscode';
import { openBox, type Row } from './box';
import type { Params } from './connection';
import { line, timezone } from './format';
import type { FilterError } from '../../clients/node/types';
import type { Session } from './session';
import { setting } from './settings';
import { STATUSES, statusIcon } from './status';
import { plain, said } from './tell';

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
    return setting('pinnedFirst');
  }

  /** As the params that `executions/list` and all like it take; `also` narrows it further. */
  selection(...also: string[]): Pick<Params<'executions/list'>, 'status' | 'where' | 'timezone'> {
    return { where: and(this.where, ...also) || null, timezone: timezone(), status: this.status.length > 0 ? this.status : null };
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
    const box = openBox('Filter runs', 'status = failed and costUSD > 0.5 and startedAt >= -7d', this.where, async (text, token) => {
      const { connections } = this.session;
      if (connections.length === 0) return [said('No runs are served in this window.')];
      // all know the same of filters: one that cannot tell keeps no other from it
      const asked = connections.map((connection) => connection.request('filter/check', { text, offset: text.length }, token));
      const { ok, error, completions } = await Promise.any(asked).catch(({ errors: [first] }: AggregateError) => { throw first; });
      const completed = completions.map(({ text: label, detail, from, to }) => ({
        label: plain(label), description: plain(detail ?? ''), alwaysShow: true,
        act: () => (box.value = `${box.value.slice(0, from)}${label}${box.value.slice(to)} `),
      }));
      if (!ok) return [...(error ? [wrong(text, error)] : []), ...completed];
      const show = (): void => {
        this.set(text.trim(), this.status);
        box.hide();
      };
      return [{ ...said(text.trim() === '' ? 'Show all runs' : `Show runs with ${text.trim()}`, 'filter'), act: show }, ...completed];
    });
  }
}

/** All of these filters as one. */
export function and(...filters: string[]): string {
  return filters.filter((filter) => filter !== '').map((filter) => (/\bor\b/i.test(filter) ? `(${filter})` : filter)).join(' and ');
}

/** What is wrong with a filter or a search, and where. */
export function wrong(text: string, { offset, end, found, expected, nearest }: FilterError): Row {
  // an unfinished filter is no mistake yet
  if (offset >= text.trimEnd().length) return said(`Go on with ${expected}`);
  const what = `At ${offset + 1}: ${found}, where ${expected} was expected.${nearest ? ` Did you mean ${nearest}?` : ''}`;
  return said(what, 'error', `${text.slice(0, offset)}▸${text.slice(offset, end)}◂${text.slice(end)}`);
}
