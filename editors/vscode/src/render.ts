/** A run as text, with the lines at which its sections begin and end. */
import { bytes, count, dollars, line, span } from './format';
import { isNumber, numberOf } from './json';
import type { Cut, ExecutionRecord } from '../../clients/node/types';

export interface Section {
  name: string;
  detail: string;
  kind: 'run' | 'part' | 'step' | 'value';
  /** First and last line, from 0. */
  start: number;
  end: number;
  children: Section[];
}

export interface Rendered { text: string; sections: Section[] }

const HEADER = ['status', 'projectId', 'id', 'name', 'model', 'sessionId', 'startedAt', 'completedAt', 'duration', 'costUSD', 'tokenUsage', 'retryCount'];
const STEP_HEADER = ['id', 'nodeId', 'nodeType', 'type', 'name', 'status', 'model', 'parentId', 'startedAt', 'completedAt', 'duration', 'costUSD', 'tokenUsage'];
const TEXTS = ['error', 'input', 'output'];

export function render(record: ExecutionRecord, title: string, cut: readonly Cut[]): Rendered {
  return new Renderer(cut).record(record, title);
}

class Renderer {
  readonly #lines: string[] = [];
  readonly #cut = new Map<string, Cut>();
  /** The cuts below each value that is written as a whole. */
  readonly #within = new Map<string, string[]>();

  constructor(cut: readonly Cut[]) {
    for (const one of cut) {
      this.#cut.set(one.pointer, one);
      const [, member, place, name] = one.pointer.split('/');
      const whole = member === 'steps' && name !== undefined ? `/steps/${place}/${name}` : `/${member}`;
      const within = this.#within.get(whole);
      if (within) within.push(one.pointer);
      else this.#within.set(whole, [one.pointer]);
    }
  }

  record(record: ExecutionRecord, title: string): Rendered {
    const sections = [this.#section(title, 'run', text(record.status) ?? '', 0, () => {
      this.#members(record, HEADER, 1, '');
      return [];
    })];
    for (const name of TEXTS) {
      if (record[name] == null) continue;
      sections.push(this.#section(titled(name), 'part', '', 0, () => {
        this.#value(record[name], 1, `/${name}`);
        return [];
      }));
    }
    const steps: unknown = record.steps;
    if (Array.isArray(steps)) {
      steps.forEach((step: unknown, place) => sections.push(this.#step(step, place)));
      this.#left(`/steps`, 0);
    }
    sections.push(...this.#others(record, [...HEADER, ...TEXTS, ...(Array.isArray(steps) ? ['steps'] : [])], 0, ''));
    return { text: `${this.#lines.join('\n')}\n`, sections };
  }

  #step(step: unknown, place: number): Section {
    const pointer = `/steps/${place}`;
    if (typeof step !== 'object' || step === null || Array.isArray(step) || isNumber(step)) {
      return this.#section(`Step ${place + 1}`, 'step', '', 0, () => (this.#value(step, 1, pointer), []));
    }
    const members = step as Record<string, unknown>;
    const called = [members['nodeId'], members['name'], members['id']].find((name) => typeof name === 'string');
    const detail = line(text(members['nodeType'] ?? members['type']), text(members['status']), span(numberOf(members['duration'])));
    return this.#section(`Step ${place + 1}: ${single(called ?? '?')}`, 'step', detail, 0, () => {
      this.#members(members, STEP_HEADER, 1, pointer);
      const children = TEXTS.filter((name) => members[name] != null).map((name) => (
        this.#section(titled(name), 'value', '', 1, () => (this.#value(members[name], 2, `${pointer}/${name}`), []))));
      children.push(...this.#others(members, [...STEP_HEADER, ...TEXTS], 1, pointer));
      this.#left(pointer, 1);
      return children;
    });
  }

  #section(name: string, kind: Section['kind'], detail: string, depth: number, body: () => Section[]): Section {
    const start = this.#lines.length;
    this.#lines.push(`${indent(depth)}${single(name)}${depth === 0 && kind === 'step' && detail !== '' ? ` · ${detail}` : ''}`);
    const children = body();
    return { name: single(name), detail, kind, start, end: this.#lines.length - 1, children };
  }

  /** Short members, one to a line. */
  #members(record: Record<string, unknown>, names: readonly string[], depth: number, pointer: string): void {
    for (const name of names) {
      const value = record[name];
      if (value == null) continue;
      this.#lines.push(`${indent(depth)}${name}: ${single(shown(name, value))}`);
      this.#left(`${pointer}/${name}`, depth);
    }
  }

  /** What this page has no word for. */
  #others(record: Record<string, unknown>, known: readonly string[], depth: number, pointer: string): Section[] {
    const names = Object.keys(record).filter((name) => !known.includes(name));
    if (names.length === 0) return [];
    return [this.#section('Other members', 'part', '', depth, () => names.map((name) => (
      this.#section(name, 'value', '', depth + 1, () => (
        this.#value(record[name], depth + 2, `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`), [])))))];
  }

  #value(value: unknown, depth: number, pointer: string): void {
    const written = typeof value === 'string' ? value : JSON.stringify(value, null, 2) ?? '';
    for (const row of written.split(/\r\n|\r|\n/)) this.#lines.push(row === '' ? '' : `${indent(depth)}${row}`);
    for (const at of this.#within.get(pointer) ?? []) this.#left(at, depth);
  }

  #left(pointer: string, depth: number): void {
    const cut = this.#cut.get(pointer);
    if (!cut) return;
    const what = cut.kind === 'string' ? 'characters' : 'members';
    const rest = cut.length == null ? '' : `${count(cut.length - cut.given)} ${what} of `;
    this.#lines.push(`${indent(depth)}… ${rest}${bytes(cut.sizeBytes)} at ${pointer} are left out; the run's panel has them`);
  }
}

function shown(name: string, value: unknown): string {
  const spelt = name === 'duration' ? span(numberOf(value)) : name === 'costUSD' ? dollars(numberOf(value)) : text(value);
  return spelt ?? JSON.stringify(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function titled(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function single(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function indent(depth: number): string {
  return '  '.repeat(depth);
}
