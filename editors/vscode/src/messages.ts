/** What the extension and the scripts of its panels say to each other. */
import type {
  Cut, ErrorGroup, ExecutionRecord, NodeStats, Piece, SeriesResult, StatsResult, Summary,
} from '../../clients/node/types';

/** To the run's panel. */
export type ToRun =
  | { type: 'run'; key: RunKey; record: ExecutionRecord; cut: Cut[]; sizeBytes: number; summary: Summary | null; newer: boolean; older: boolean; annotations: boolean; runAgain: boolean }
  | { type: 'gone'; key: RunKey; text: string; undo: boolean }
  | { type: 'piece'; pointer: string; start: number; piece: Piece | null; error?: string }
  | { type: 'steps'; pieces: Array<{ place: number; piece: Piece }> };

/** From the run's panel. */
export type FromRun =
  | { type: 'ready' }
  | { type: 'focus' }
  | { type: 'command'; name: RunCommand }
  | { type: 'copy'; pointer: string }
  | { type: 'piece'; pointer: string; start: number; bytes: number }
  | { type: 'steps'; places: number[] };

export interface RunKey { root: string; projectId: string; executionId: string }

export const RUN_COMMANDS = [
  'previousRun', 'nextRun', 'openDocument', 'openFile', 'reveal', 'copyId', 'copyOutput', 'delete', 'undoDelete', 'pin', 'unpin', 'tag', 'note', 'runAgain',
] as const;
export type RunCommand = (typeof RUN_COMMANDS)[number];

/** How many UTF-16 units of a text are given at once. */
export const PIECE_UNITS = 64 * 1024;
/** How many steps are shown at once. */
export const STEPS_PAGE = 200;

export type Range = '24h' | '7d' | '30d' | '90d' | '365d' | 'all';
export interface Asked { root: string; projectId: string; range: Range }

/** To the dashboard. */
export type ToDashboard =
  | { type: 'data'; asked: Asked; roots: Array<{ root: string; name: string }>; projects: string[]; timezone: string; data: DashboardData }
  | { type: 'error'; text: string };

export interface DashboardData {
  series: SeriesResult;
  stats: StatsResult;
  expensive: NodeStats[];
  failing: NodeStats[];
  errors: ErrorGroup[];
  bucket: 'hour' | 'day' | 'week' | 'month';
}

/** From the dashboard. */
export type FromDashboard =
  | { type: 'ready' }
  | { type: 'ask'; asked: Asked }
  | { type: 'show'; where: string; status: string[] }
  | { type: 'open'; projectId: string; executionId: string };
