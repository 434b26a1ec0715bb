/** Which program `runlog` is started: the configured one, the bundled one, or the one on the PATH. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { setting } from './settings';

/** The program, or why there is none: the view says one thing where the setting is wrong and another where there is none. */
export type Found = { program: string } | { missing: string; state: 'pathWrong' | 'daemonMissing' };

export function findProgram(context: vscode.ExtensionContext): Found {
  // machine-scoped: a workspace cannot name a program
  const configured = setting('path').trim().replace(/^~(?=\/|$)/, () => homedir());
  if (configured !== '') {
    // somebody meant this one: falling back to another would hide a mistake
    if (executable(configured)) return { program: configured };
    const why = !path.isAbsolute(configured) ? `${configured} is not the whole path of a program.`
      : existsSync(configured) ? `${configured} is not executable.` : `There is no program ${configured}.`;
    return { missing: why, state: 'pathWrong' };
  }
  const candidates = [context.asAbsolutePath('bin/runlog')];
  if (context.extensionMode === vscode.ExtensionMode.Development) {
    candidates.unshift(...['debug', 'release'].map((kind) => context.asAbsolutePath(`../../target/${kind}/runlog`)));
  }
  for (const folder of (process.env['PATH'] ?? '').split(path.delimiter)) {
    // a relative entry would mean the workspace
    if (path.isAbsolute(folder)) candidates.push(path.join(folder, 'runlog'));
  }
  const program = candidates.find(executable);
  return program ? { program } : { missing: 'No program runlog: neither in this extension nor on the PATH.', state: 'daemonMissing' };
}

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return path.isAbsolute(file) && statSync(file).isFile();
  } catch {
    return false;
  }
}
