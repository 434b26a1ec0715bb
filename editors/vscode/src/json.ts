/**
 * JSON whose numbers keep their spelling: `1.0`, `1e400` and a long integer are written as they were read. Those that
 * JavaScript would write otherwise are read as what `JSON.rawJSON` makes, which VS Code has since 1.101 (its Node 22).
 */
interface Raw { rawJSON: string }
// which TypeScript does not know yet
const { rawJSON, isRawJSON } = JSON as unknown as { rawJSON(text: string): Raw; isRawJSON(value: unknown): value is Raw };

export function parse(text: string): unknown {
  const spelt = (_name: string, value: unknown, { source }: { source: string }): unknown => (
    typeof value === 'number' && String(value) !== source ? rawJSON(source) : value);
  return JSON.parse(text, spelt as (name: string, value: unknown) => unknown);
}

export function isNumber(value: unknown): value is number | Raw {
  return typeof value === 'number' || isRawJSON(value);
}

export function numberOf(value: unknown): number | undefined {
  return isRawJSON(value) ? Number(value.rawJSON) : typeof value === 'number' ? value : undefined;
}

/** The members of an object; what is none has none. */
export function membersOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isNumber(value) ? value as Record<string, unknown> : {};
}
