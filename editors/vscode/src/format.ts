/** How times, spans and amounts are written; for the extension and for its panels. */

/** Whether a queued or running run has been silent for too long: the daemon tells from when on. */
export function isStale(run: { staleAt?: string | null }): boolean {
  return run.staleAt != null && Date.parse(run.staleAt) <= Date.now();
}

const UNITS: Array<[millis: number, unit: Intl.RelativeTimeFormatUnit]> = [
  [365 * 86_400_000, 'year'], [30 * 86_400_000, 'month'], [86_400_000, 'day'], [3_600_000, 'hour'], [60_000, 'minute'],
];
const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'always', style: 'narrow' });

/** How long ago, as `5m ago`. */
export function ago(date: string | null | undefined, now = Date.now()): string | undefined {
  if (date == null) return undefined;
  const passed = now - Date.parse(date);
  const found = UNITS.find(([millis]) => Math.abs(passed) >= millis);
  return found ? RELATIVE.format(-Math.trunc(passed / found[0]), found[1]) : 'just now';
}

/** Beyond a million years a number tells nobody anything; `span` in src/cli/time.rs has the same. */
const SPAN_MAX_MS = 3e16;

/** A span as `850ms`, `36.7s`, `2m 05s` or `3h 20m`. */
export function span(millis: number | null | undefined): string | undefined {
  if (millis == null) return undefined;
  if (millis > SPAN_MAX_MS) return 'ages';
  if (millis < 1000) return `${Math.round(millis)}ms`;
  if (millis < 60_000) return `${(Math.floor(millis / 100) / 10).toFixed(1)}s`;
  const pad = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (millis < 3_600_000) return `${Math.floor(millis / 60_000)}m ${pad((millis % 60_000) / 1000)}s`;
  return `${Math.floor(millis / 3_600_000)}h ${pad((millis % 3_600_000) / 60_000)}m`;
}

/** A span as short as can be: `3s`, `3m` or `3h`. */
export function brief(millis: number | null | undefined): string | undefined {
  if (millis == null || millis < 1000 || millis > SPAN_MAX_MS) return span(millis);
  const [size, unit] = millis < 59_500 ? [1000, 's'] : millis < 3_570_000 ? [60_000, 'm'] : [3_600_000, 'h'];
  return `${Math.round(millis / Number(size))}${unit}`;
}

/** Dollars with as many places as there are, two at least. */
export function dollars(amount: number | null | undefined): string | undefined {
  if (amount == null) return undefined;
  return `${amount < 0 ? '-' : ''}$${Math.abs(amount).toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 9 })}`;
}

/** Dollars with two places that tell something. */
export function price(amount: number | null | undefined): string | undefined {
  return amount == null ? undefined : dollars(Number(Math.abs(amount) < 1 ? amount.toPrecision(2) : amount.toFixed(2)));
}

export function count(number: number): string {
  return number.toLocaleString('en');
}

/** How many there are of what is counted, as `1 run` or `2 runs`. */
export function counted(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? '' : 's'}`;
}

export function bytes(size: number): string {
  if (size < 1000) return `${size} B`;
  const [amount, unit] = size < 1e6 ? [size / 1e3, 'kB'] : [size / 1e6, 'MB'];
  return `${amount.toFixed(1)} ${unit}`;
}

/** The date in the person's own zone. */
export function localDate(date: string | null | undefined): string | undefined {
  return date == null ? undefined : new Date(date).toLocaleString();
}

/** The IANA name of the person's time zone. */
export function timezone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** What there is of them, as one line. */
export function line(...parts: Array<string | false | null | undefined>): string {
  return parts.filter(Boolean).join(' · ');
}

/** `acts` in src/cli/terminal.rs has the same. */
const UNSEEN = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\r(?!\n)/gu;

/** Text of records, every character for what it is: none may turn round or hide what stands beside it. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 32 ? String.fromCharCode(0x2400 + code) : code === 127 ? '␡' : `<${code.toString(16).padStart(4, '0')}>`;
  });
}

/** The beginning of a text, where there is no place for more. */
export function cut(text: string, most: number): string {
  return text.length > most ? `${[...text].slice(0, most).join('')}…` : text;
}

/** What VS Code puts beside a label: one that is written from right to left would take it for its own. */
export function beside(text: string): string {
  return text && `\u200e${text}`;
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
