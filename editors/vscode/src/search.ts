/** Search over what runs were given and what they said, with the places where it was found. */
import { openBox, type Row } from './box';
import { SILENT } from './connection';
import { wrong } from './filter';
import { ago, beside, line, message } from './format';
import type { FilterError, Match, SearchHit } from '../../clients/node/types';
import { nameOf } from './roots';
import { Run } from './run';
import type { Session } from './session';
import { statusIcon } from './status';
import { plain, said } from './tell';

const HITS = 50;

export function search(session: Session, open: (run: Run) => void): void {
  const box = openBox('Search in runs', 'Words, "phrases", begin*, OR, NOT; in input, output, errors and steps', '', async (query, token) => {
    if (query.trim() === '') return [];
    const found = await Promise.all(session.connections.map(async (connection): Promise<Row[]> => {
      // what others have found is shown beside it
      const trouble = (text: string): Row => said(session.connections.length > 1 ? `${nameOf(connection)}: ${text}` : text, 'error');
      const asked = connection.request('executions/search', { query, limit: HITS }, token).catch((error: Error & { data?: FilterError }) => (
        error.data?.offset !== undefined ? wrong(query, error.data) : trouble(message(error))));
      const answer = await connection.unlessSilent(asked) ?? trouble(SILENT);
      if (!('hits' in answer)) return [answer];
      const { hits, complete } = answer;
      const rows = hits.map((hit): Row => {
        const act = (): void => {
          box.hide();
          open(new Run(connection, hit.summary.projectId, hit.summary.id));
        };
        return { ...row(hit), act };
      });
      return complete ? rows : [...rows, said('Not all runs are in the text index yet')];
    }));
    const rows = found.flat();
    return rows.length > 0 ? rows : [said('Nothing was found')];
  });
}

function row({ summary, matches: [first] }: SearchHit): Row {
  return {
    label: plain(summary.label ?? summary.id), description: beside(plain(line(summary.projectId, ago(summary.startedAt)))),
    detail: first ? plain(`${first.path}: ${marked(first)}`) : '', iconPath: statusIcon(summary.status, false), alwaysShow: true,
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
