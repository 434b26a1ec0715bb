/** What the person has set; package.json has the defaults. */
import * as vscode from 'vscode';

export function setting<T>(name: 'path' | 'projects' | 'pageSize' | 'pinnedFirst' | 'budgetUSD' | 'notifyOnFailure' | 'runAgainCommand'): T {
  return vscode.workspace.getConfiguration('runlog').get(name) as T;
}
