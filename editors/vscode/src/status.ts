/** Statuses as icons in the theme's colours. */
import * as vscode from 'vscode';

// a record's status may have the name of anything that objects have
const STATUS_ICONS = new Map<string, [icon: string, color: string]>([
  ['completed', ['pass', 'testing.iconPassed']],
  ['failed', ['error', 'testing.iconFailed']],
  ['running', ['sync~spin', 'charts.blue']],
  ['queued', ['clock', 'testing.iconQueued']],
  ['paused', ['debug-pause', 'charts.yellow']],
  ['cancelled', ['circle-slash', 'disabledForeground']],
]);
export const STATUSES = [...STATUS_ICONS.keys()];

export function statusIcon(status: string | null | undefined, stale: boolean): vscode.ThemeIcon {
  const [icon, color] = stale ? ['warning', 'list.warningForeground'] : STATUS_ICONS.get(status ?? '') ?? ['question', 'disabledForeground'];
  return new vscode.ThemeIcon(icon, new vscode.ThemeColor(color));
}
