/** What the extension and the scripts of its panels say to each other; a page begins with 'ready'. */
import type { ErrorGroup, GetResult, NodeStats, Piece, SeriesBucket, StatsResult, Summary } from '../../clients/node/types';

/** To the run's panel: `got` only where the page does not have it yet. */
export type ToRun =
  | { type: 'run'; key: RunKey; summary: Summary | null; got: GetResult | null; newer: boolean; older: boolean; runAgain: boolean }
  | { type: 'gone'; key: RunKey; text: string; undo: boolean }
  | { type: 'fields'; id: number; fields: Record<string, Piece>; error: string | null };

/** From the run's panel: what is done names the run that is seen. */
export type FromRun = { type: 'focus' } | (DoneToRun & { key: RunKey });
export type DoneToRun =
  | { type: 'command'; name: RunCommand }
  | { type: 'copy'; pointer: string }
  | { type: 'fields'; id: number; asked: FieldsAsked };

export interface FieldsAsked { fields: string[]; maxBytes: number; range?: { start: number; end: number } }
export interface RunKey { root: string; projectId: string; executionId: string }

export const RUN_COMMANDS = [
  'previousRun', 'nextRun', 'openDocument', 'openFile', 'reveal', 'copyId', 'copyOutput', 'delete', 'undoDelete', 'pin', 'unpin', 'tag', 'note', 'runAgain',
] as const;
export type RunCommand = (typeof RUN_COMMANDS)[number];

export type Range = '24h' | '7d' | '30d' | '90d' | '365d' | 'all';
export interface Asked { root: string; projectId: string; range: Range }

/** To the dashboard: `number` is of what it asked for last. */
export interface ToDashboard {
  number: number;
  asked: Asked;
  roots: Array<{ root: string; name: string }>;
  projects: string[];
  timezone: string;
  /** Or why there is none. */
  data: DashboardData | string;
}

export interface DashboardData {
  buckets: SeriesBucket[];
  stats: Omit<StatsResult, 'clock'>;
  expensive: NodeStats[];
  failing: NodeStats[];
  errors: ErrorGroup[];
  bucket: 'hour' | 'day' | 'week' | 'month';
}

/** From the dashboard. */
export type FromDashboard =
  | { type: 'ask'; number: number; asked: Asked }
  | { type: 'show'; where: string; status: string[] }
  | { type: 'open'; projectId: string; executionId: string };
