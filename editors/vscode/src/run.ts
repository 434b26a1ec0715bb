/** One run: by which ids it is known, where its file is, and what the daemon says of it. */
import * as path from 'node:path';
import * as vscode from 'vscode';
import type { Connection } from './connection';
import type { Filter } from './filter';
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
  const ahead = summary.startedAt == null ? 'startedAt is not null' : `startedAt > ${summary.startedAt}`;
  const { count } = await connection.request('executions/count', { projectId, ...filter.selection(ahead) });
  const offset = Math.max(count - 1, 0);
  const page = await connection.request('executions/list', { projectId, ...filter.selection(), offset, limit: SAME_MOMENT + 2 });
  const place = page.executions.findIndex(({ id }) => id === run.executionId);
  const at = (index: number): Run | undefined => {
    const found = page.executions[index];
    return found && { connection, projectId, executionId: found.id };
  };
  // a run that the filter leaves out stands where it would be
  const newer = at(place >= 0 ? place - 1 : count - offset - 1);
  const older = at(place >= 0 ? place + 1 : count - offset);
  return { ...(newer ? { newer } : {}), ...(older ? { older } : {}) };
}
