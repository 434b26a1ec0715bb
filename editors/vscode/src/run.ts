/** One run: by which ids it is known, where its file is, and what the daemon says of it. */
import * as path from 'node:path';
import * as vscode from 'vscode';
import type { Connection, Params, Result } from './connection';
import type { Filter } from './filter';
import type { Session } from './session';
import type { Summary, Told, TrashEntry } from '../../clients/node/types';

/** The scheme of runs as documents. */
export const SCHEME = 'runlog';
/** By which their language is known. */
export const SUFFIX = '.runlog';

/** How many runs of one moment are looked at for the neighbours of one of them. */
const SAME_MOMENT = 100;
const TRASH_PAGE = 1000;

export class Run {
  constructor(readonly connection: Connection, readonly projectId: string, readonly executionId: string) {}

  get file(): vscode.Uri {
    return vscode.Uri.file(path.join(this.connection.root, this.projectId, 'executions', `${this.executionId}.json`));
  }

  get uri(): vscode.Uri {
    return vscode.Uri.from({ scheme: SCHEME, path: `/${this.projectId}/${this.executionId}${SUFFIX}`, query: this.connection.root });
  }

  /** Asks something of this run. */
  async request<M extends 'executions/get' | 'executions/delete' | 'executions/restore' | 'executions/annotate'>(
    method: M, params: Omit<Params<M>, 'projectId' | 'executionId'>,
  ): Promise<Result<M>> {
    const { connection, projectId, executionId } = this;
    return await connection.request(method, { ...params, projectId, executionId } as Params<M>);
  }

  /** The run as lists show it. */
  async summary(): Promise<Summary | undefined> {
    const { connection, projectId, executionId } = this;
    const { executions } = await connection.request('executions/list', { projectId, where: `id = ${JSON.stringify(executionId)}`, limit: 1 });
    return executions[0];
  }

  /** What has it back, if it can be put back: of several deletions the last. */
  async trashed(): Promise<TrashEntry | undefined> {
    const { connection, projectId, executionId } = this;
    let last: TrashEntry | undefined;
    for await (const { entries } of connection.pages('trash/list', { projectId, executionId, limit: TRASH_PAGE })) {
      for (const entry of entries) if (entry.executionId === executionId && entry.deletedAt >= (last?.deletedAt ?? entry.deletedAt)) last = entry;
    }
    return last;
  }

  /** The runs before and after this one, as the view has them. */
  async neighbours(summary: Summary, filter: Filter): Promise<{ newer?: Run | undefined; older?: Run | undefined }> {
    const { connection, projectId } = this;
    const apart = filter.pinnedFirst;
    const part = apart ? `${summary.pinned ? '' : 'not '}pinned` : '';
    const count = async (...where: string[]): Promise<number> => (await connection.request('executions/count', { projectId, ...filter.selection(...where) })).count;
    const list = async (where: string, offset: number, limit: number): Promise<Run[]> => {
      const { executions } = await connection.request('executions/list', { projectId, ...filter.selection(where), offset, limit });
      return executions.map(({ id }) => new Run(connection, projectId, id));
    };
    const ahead = await count(part, summary.startedAt == null ? 'startedAt is not null' : `startedAt > ${summary.startedAt}`);
    const offset = Math.max(ahead - 1, 0);
    const page = await list(part, offset, SAME_MOMENT + 2);
    const place = page.findIndex(({ executionId }) => executionId === this.executionId);
    // a run that the filter leaves out stands where it would be
    let newer = page[place >= 0 ? place - 1 : ahead - offset - 1];
    let older = page[place >= 0 ? place + 1 : ahead - offset];
    if (apart && summary.pinned) older ??= (await list('not pinned', 0, 1))[0];
    else if (apart) newer ??= (await list('pinned', Math.max(await count('pinned') - 1, 0), 1))[0];
    return { newer, older };
  }
}

/** The run that a URI of ours names: by its path, and its root by the query. */
export function runNamed(session: Session, uri: vscode.Uri, suffix: string): Run | undefined {
  const connection = session.at(uri.query);
  const [, projectId, name] = uri.path.split('/');
  return connection && projectId && name ? new Run(connection, projectId, name.slice(0, -suffix.length)) : undefined;
}

/** The run that a change is about, if it is about one. */
export function runTold(connection: Connection, told: Told): Run | undefined {
  if (told.kind === 'saved') return new Run(connection, told.summary.projectId, told.summary.id);
  return 'executionId' in told ? new Run(connection, told.projectId, told.executionId) : undefined;
}
