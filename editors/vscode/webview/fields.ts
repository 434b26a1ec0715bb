/** What the run's page asks of the extension; such are parts of the record that it does not have. */
import type { DoneToRun, FieldsAsked, FromRun, RunKey, ToRun } from '../src/messages';
import type { Piece } from '../../clients/node/types';
import { vscode } from './page';

type Told = Extract<ToRun, { type: 'fields' }>;
const waiting: Array<((told: Told) => void) | undefined> = [];

/** Does something to the run that is seen: the extension may be on its way to another one. */
export function act(what: DoneToRun): void {
  vscode.postMessage({ ...what, key: vscode.getState() as RunKey } satisfies FromRun);
}

export async function fieldsOf(asked: FieldsAsked): Promise<Record<string, Piece>> {
  const { fields, error } = await new Promise<Told>((resolve) => {
    const id = waiting.push(resolve) - 1;
    act({ type: 'fields', id, asked });
  });
  if (error !== null) throw new Error(error);
  return fields;
}

export function answered(told: Told): void {
  waiting[told.id]?.(told);
  delete waiting[told.id];
}
