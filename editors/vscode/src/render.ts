/** A run as text, and the outline of that text. */
import * as vscode from 'vscode';
import { bytes, count, dollars, line, span, visible } from './format';
import { isNumber, numberOf } from './json';
import type { Cut, ExecutionRecord } from '../../clients/node/types';

const HEADER = ['status', 'projectId', 'id', 'name', 'model', 'sessionId', 'startedAt', 'completedAt', 'duration', 'costUSD', 'tokenUsage', 'retryCount'];
const STEP_HEADER = ['id', 'nodeId', 'nodeType', 'type', 'name', 'status', 'model', 'parentId', 'startedAt', 'completedAt', 'duration', 'costUSD', 'tokenUsage'];
const TEXTS = ['error', 'input', 'output'];
const { File, Function: Step, Field } = vscode.SymbolKind;

export class Renderer {
  readonly #lines: string[] = [];

  /** `cut` says where not all of it is given. */
  record(record: ExecutionRecord, title: string, cut: readonly Cut[]): { text: string; symbols: vscode.DocumentSymbol[] } {
    const steps: unknown = record.steps;
    const symbols = [this.#section(title, File, text(record.status) ?? '', 0, () => this.#members(record, HEADER, 1))];
    if (cut.length > 0) this.#lines.push(`${indent(1)}Not all of it is here: what is left out is named at the end, and the run's panel has it.`);
    symbols.push(...this.#texts(record, 0));
    if (Array.isArray(steps)) symbols.push(...steps.map((step: unknown, place) => this.#step(step, place)));
    symbols.push(...this.#others(record, [...HEADER, ...TEXTS, ...(Array.isArray(steps) ? ['steps'] : [])], 0));
    if (cut.length > 0) symbols.push(this.#section('Left out', Field, '', 0, () => this.#left(cut)));
    return { text: `${this.#lines.join('\n')}\n`, symbols };
  }

  #step(step: unknown, place: number): vscode.DocumentSymbol {
    if (typeof step !== 'object' || step === null || Array.isArray(step) || isNumber(step)) {
      return this.#section(`Step ${place + 1}`, Step, '', 0, () => this.#value(step, 1));
    }
    const members = step as Record<string, unknown>;
    const called = [members['nodeId'], members['name'], members['id']].find((name) => typeof name === 'string');
    const detail = line(text(members['nodeType'] ?? members['type']), text(members['status']), span(numberOf(members['duration'])));
    return this.#section(`Step ${place + 1}: ${called ?? '?'}`, Step, detail, 0, () => {
      this.#members(members, STEP_HEADER, 1);
      return [...this.#texts(members, 1), ...this.#others(members, [...STEP_HEADER, ...TEXTS], 1)];
    });
  }

  #section(title: string, kind: vscode.SymbolKind, detail: string, depth: number, body: () => vscode.DocumentSymbol[] | void): vscode.DocumentSymbol {
    const [name, beside] = [single(title), single(detail)];
    const start = this.#lines.push(`${indent(depth)}${name}${kind === Step && beside !== '' ? ` · ${beside}` : ''}`) - 1;
    const children = body() ?? [];
    const range = (last: number): vscode.Range => new vscode.Range(start, 0, last, this.#lines[last]?.length ?? 0);
    const symbol = new vscode.DocumentSymbol(name || ' ', beside, kind, range(this.#lines.length - 1), range(start));
    symbol.children = children;
    return symbol;
  }

  /** Short members, one to a line. */
  #members(record: Record<string, unknown>, names: readonly string[], depth: number): void {
    for (const name of names) {
      const value = record[name];
      if (value != null) this.#lines.push(`${indent(depth)}${name}: ${single(shown(name, value))}`);
    }
  }

  #texts(record: Record<string, unknown>, depth: number): vscode.DocumentSymbol[] {
    return TEXTS.filter((name) => record[name] != null).map((name) => (
      this.#section(`${name.charAt(0).toUpperCase()}${name.slice(1)}`, Field, '', depth, () => this.#value(record[name], depth + 1))));
  }

  /** What this page has no word for. */
  #others(record: Record<string, unknown>, known: readonly string[], depth: number): vscode.DocumentSymbol[] {
    const names = Object.keys(record).filter((name) => !known.includes(name));
    if (names.length === 0) return [];
    return [this.#section('Other members', Field, '', depth, () => names.map((name) => (
      this.#section(name, Field, '', depth + 1, () => this.#value(record[name], depth + 2)))))];
  }

  #value(value: unknown, depth: number): void {
    const written = typeof value === 'string' ? value : JSON.stringify(value, null, 2) ?? '';
    for (const row of written.split(/\r\n|\r|\n/)) this.#lines.push(row === '' ? '' : `${indent(depth)}${row}`);
  }

  #left(cut: readonly Cut[]): void {
    for (const { pointer, kind, length, given, sizeBytes } of cut) {
      const rest = length == null ? '' : `${count(length - given)} ${kind === 'string' ? 'characters' : 'members'} of `;
      this.#lines.push(`${indent(1)}${single(pointer)}: ${rest}${bytes(sizeBytes)}`);
    }
  }
}

function shown(name: string, value: unknown): string {
  const spelt = name === 'duration' ? span(numberOf(value)) : name === 'costUSD' ? dollars(numberOf(value)) : text(value);
  return spelt ?? JSON.stringify(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function single(text: string): string {
  return visible(text.replace(/\s+/g, ' '));
}

function indent(depth: number): string {
  return '  '.repeat(depth);
}
