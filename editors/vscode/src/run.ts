/** One run: by which ids it is known, where its file is, and what the daemon says of it. */
import * as path from 'node:path';
import * as vscode from 'vscode';
import type { Connection } from './connection';
import { pinnedFirst, type Filter } from './filter';
import type { GetResult, Summary } from '../../clients/node/types';

/** The scheme of runs as documents. */
export const SCHEME = 'runlog';
/** By which their language is known. */
export const SUFFIX = '.runlog';

export interface Run {
  connection: Connection;
  projectId: string;
  executionId: string;
}

export function fileOf({ connection, projectId, executionId }: Run): vscode.Uri {
  return vscode.Uri.file(path.join(connection.root, projectId, 'executions', `${executionId}.json`));
}

export function uriOf({ connection, projectId, executionId }: Run): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: `/${projectId}/${executionId}${SUFFIX}`, query: connection.root });
}

export function sameRun(a: Run, b: Run): boolean {
  return a.connection === b.connection && a.projectId === b.projectId && a.executionId === b.executionId;
}

/** The run as lists show it. */
export async function summaryOf({ connection, projectId, executionId }: Run): Promise<Summary | undefined> {
  const where = `id = ${JSON.stringify(executionId)}`;
  const { executions } = await connection.request('executions/list', { projectId, where, limit: 1 });
  return executions[0];
}

/** The record, cut where it is larger than `maxBytes`. */
export async function recordOf({ connection, projectId, executionId }: Run, maxBytes: number): Promise<GetResult> {
  return await connection.request('executions/get', { projectId, executionId, maxBytes });
}

/** How many runs of one moment are looked at for the neighbours of one of them. */
const SAME_MOMENT = 100;

/** The runs before and after this one, as the view has them: the newer one and the older one. */
export async function neighbours(run: Run, summary: Summary, filter: Filter): Promise<{ newer?: Run; older?: Run }> {
  const { connection, projectId } = run;
  const apart = pinnedFirst(connection);
  const part = apart ? `${summary.pinned ? '' : 'not '}pinned` : '';
  const count = async (where: string): Promise<number> => (await connection.request('executions/count', { projectId, ...filter.selection(where) })).count;
  const list = async (where: string, offset: number, limit: number): Promise<Run[]> => {
    const { executions } = await connection.request('executions/list', { projectId, ...filter.selection(where), offset, limit });
    return executions.map(({ id }) => ({ connection, projectId, executionId: id }));
  };
  const ahead = await count(`${part && `${part} and `}${summary.startedAt == null ? 'startedAt is not null' : `startedAt > ${summary.startedAt}`}`);
  const offset = Math.max(ahead - 1, 0);
  const page = await list(part, offset, SAME_MOMENT + 2);
  const place = page.findIndex(({ executionId }) => executionId === run.executionId);
  // a run that the filter leaves out stands where it would be
  let newer = page[place >= 0 ? place - 1 : ahead - offset - 1];
  let older = page[place >= 0 ? place + 1 : ahead - offset];
  if (apart && summary.pinned) [older] = older ? [older] : await list('not pinned', 0, 1);
  else if (apart && !newer) [newer] = await list('pinned', Math.max(await count('pinned') - 1, 0), 1);
  return { ...(newer ? { newer } : {}), ...(older ? { older } : {}) };
}
