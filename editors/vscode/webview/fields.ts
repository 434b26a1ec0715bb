/** Asks for parts of the record that this page does not have. */
import type { FieldsAsked, FromRun, ToRun } from '../src/messages';
import type { Piece } from '../../clients/node/types';
import { vscode } from './page';

type Told = Extract<ToRun, { type: 'fields' }>;
const waiting: Array<((told: Told) => void) | undefined> = [];

export async function fieldsOf(asked: FieldsAsked): Promise<Record<string, Piece>> {
  const { fields, error } = await new Promise<Told>((resolve) => {
    const id = waiting.push(resolve) - 1;
    vscode.postMessage({ type: 'fields', id, asked } satisfies FromRun);
  });
  if (error !== null) throw new Error(error);
  return fields;
}

export function answered(told: Told): void {
  waiting[told.id]?.(told);
  delete waiting[told.id];
}
