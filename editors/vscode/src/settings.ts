/** The settings. VS Code hands over whatever is written: what the schema does not allow is the default. */
import * as vscode from 'vscode';
import { contributes } from '../package.json';

interface Schema { type: string | string[]; items?: Schema; minimum?: number; maximum?: number; default?: unknown }
type Properties = typeof contributes.configuration.properties;
type Name = keyof Properties extends `runlog.${infer Short}` ? Short : never;

interface Values { path: string; projects: string[]; pageSize: number; pinnedFirst: boolean; budgetUSD: number | null; notifyOnFailure: boolean; runAgainCommand: string[] }

/** A setting's value. */
export function setting<N extends Name>(name: N): Values[N] {
  return (isAllowed(name) ? written(name) : schemaOf(name).default) as Values[N];
}

/** Whether the schema allows what is written. */
export function isAllowed(name: Name): boolean {
  return allows(schemaOf(name), written(name));
}

/** What is written there, whatever it is. */
export function written(name: Name): unknown {
  return vscode.workspace.getConfiguration('runlog').get(name);
}

function schemaOf(name: Name): Schema {
  return contributes.configuration.properties[`runlog.${name}`];
}

function allows({ type, items, minimum = -Infinity, maximum = Infinity }: Schema, value: unknown): boolean {
  const types = [type].flat();
  if (typeof value === 'number') return (types.includes('number') || (types.includes('integer') && Number.isInteger(value))) && value >= minimum && value <= maximum;
  if (Array.isArray(value)) return types.includes('array') && value.every((item) => items === undefined || allows(items, item));
  return types.includes(value === null ? 'null' : typeof value);
}
