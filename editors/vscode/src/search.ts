/** Search over what runs were given and what they said, with the places where it was found. */
import * as vscode from 'vscode';
import { ago, line, message } from './format';
import type { Match, SearchHit } from '../../clients/node/types';
import { Run } from './run';
import type { Session } from './session';
import { statusIcon } from './status';
import { plain, said } from './tell';

const TYPING_MS = 150;
const HITS = 50;

interface Item extends vscode.QuickPickItem { run?: Run }

export function search(session: Session, open: (run: Run) => void): void {
  const box = vscode.window.createQuickPick<Item>();
  box.title = 'Search in runs';
  box.placeholder = 'Words, "phrases", begin*, OR, NOT; in input, output, errors and steps';
  let timer: NodeJS.Timeout | undefined;
  let cancel: vscode.CancellationTokenSource | undefined;

  const ask = async (query: string): Promise<void> => {
    cancel = new vscode.CancellationTokenSource();
    const { token } = cancel;
    box.busy = true;
    try {
      const found = await Promise.all(session.connections.map(async (connection) => {
        const { hits, complete } = await connection.request('executions/search', { query, limit: HITS }, token);
        const items = hits.map((hit) => item(hit, new Run(connection, hit.summary.projectId, hit.summary.id)));
        return complete ? items : [...items, said('Not all runs are in the text index yet')];
      }));
      if (token.isCancellationRequested) return;
      const items = found.flat();
      box.items = items.length > 0 ? items : [said('Nothing was found')];
    } catch (error) {
      if (token.isCancellationRequested) return;
      box.items = [said(message(error))];
    }
    box.busy = false;
  };
  const stop = (): void => {
    clearTimeout(timer);
    cancel?.cancel();
  };
  box.onDidChangeValue((value) => {
    stop();
    if (value.trim() === '') box.items = [];
    else timer = setTimeout(() => void ask(value), TYPING_MS);
  });
  box.onDidAccept(() => {
    const run = box.activeItems[0]?.run;
    if (!run) return;
    box.hide();
    open(run);
  });
  box.onDidHide(() => {
    stop();
    box.dispose();
  });
  box.show();
}

function item({ summary, matches }: SearchHit, run: Run): Item {
  const [first] = matches;
  return {
    label: plain(summary.label ?? summary.id),
    description: plain(line(summary.projectId, ago(summary.startedAt))),
    detail: first ? plain(`${first.path}: ${marked(first)}`) : '',
    iconPath: statusIcon(summary.status, false),
    alwaysShow: true,
    run,
  };
}

/** The snippet on one line, with what was found between marks. */
function marked({ snippet, ranges }: Match): string {
  let text = '';
  let at = 0;
  for (const { start, end } of ranges) {
    text += `${snippet.slice(at, start)}«${snippet.slice(start, end)}»`;
    at = end;
  }
  return (text + snippet.slice(at)).replace(/\s+/g, ' ');
}
