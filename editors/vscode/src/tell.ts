/** Notifications. VS Code makes links of what looks like one in them, such that start commands too. */
import * as vscode from 'vscode';
import { visible } from './format';

/** Text of records, or that has such in it, as it is: a joiner that is not seen keeps links and icons from being made of it. */
export function plain(text: string): string {
  return visible(text).replace(/[\]$](?=\()/g, '$&\u2060');
}

/** A row of a quick pick that says something. */
export function said(label: string, icon = 'info', detail = ''): vscode.QuickPickItem {
  return { label: plain(label), detail: plain(detail), iconPath: new vscode.ThemeIcon(icon), alwaysShow: true };
}

export function tell(kind: 'Information' | 'Warning' | 'Error', text: string, ...buttons: string[]): Thenable<string | undefined> {
  return vscode.window[`show${kind}Message`](plain(text), ...buttons);
}
