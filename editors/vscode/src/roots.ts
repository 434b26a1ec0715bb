/** Which roots a window shows: the configured folders, else what `runlog root` finds in each folder of the workspace. */
import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import { written } from './settings';

/** So much is shown of what is no answer. */
const SAID_MAX = 1000;

/** What `runlog root --json` prints. */
type Printed = Record<'tried' | 'candidates', string[]> & { root: string | null; exists: boolean };

/** The folders that the settings name; who names one only may leave the brackets out. */
export function configuredRoots(): string[] {
  return [written('projects')].flat().filter((name) => typeof name === 'string');
}

/** The roots that are there, each once; where one was looked for; whether somewhere there was none; what kept the program from telling. */
export async function findRoots(program: string): Promise<{ folders: string[]; tried: string[]; lacking: boolean; trouble: string }> {
  const folders = new Set<string>();
  const tried = new Set<string>();
  let lacking = false;
  let trouble = '';
  const workspace = (vscode.workspace.workspaceFolders ?? []).flatMap(({ uri }) => (uri.scheme === 'file' ? uri.fsPath : []));
  const configured = configuredRoots();
  for (const name of configured) {
    const folder = path.resolve(workspace[0] ?? '/', name);
    if (existsSync(`${folder}/`)) folders.add(realpathSync(folder));
    else {
      tried.add(`${folder} (the setting runlog.projects)`);
      lacking = true;
    }
  }
  if (configured.length === 0) {
    for (const printed of await Promise.all(workspace.map((folder) => ask(program, folder)))) {
      if (typeof printed === 'string') {
        trouble = printed;
        lacking = true;
        continue;
      }
      const found = [...(printed.root !== null && printed.exists ? [printed.root] : []), ...printed.candidates];
      for (const folder of found) folders.add(folder);
      if (found.length === 0) lacking = true;
      for (const place of printed.tried) tried.add(place);
    }
  }
  return { folders: [...folders], tried: [...tried], lacking, trouble };
}

/** What it prints, or why that tells nothing. */
async function ask(program: string, cwd: string): Promise<Printed | string> {
  // where several could be meant it tells them and ends with a status
  const { stdout, stderr } = await promisify(execFile)(program, ['root', '--json'], { cwd, timeout: 30_000, killSignal: 'SIGKILL' })
    .catch((error: { stdout?: string; stderr?: string; message: string }) => ({ stdout: error.stdout ?? '', stderr: error.stderr ?? error.message }));
  const printed = printedIn(stdout);
  if (printed) return printed;
  const words = `${stderr}${stdout}`.trim().slice(0, SAID_MAX);
  return `${program} does not say which folder it serves${words && `: ${words}`}`;
}

/** The answer, if it is one: the settings may name any program. */
function printedIn(text: string): Printed | undefined {
  try {
    const { root, exists, tried, candidates } = JSON.parse(text) as Partial<Printed>;
    const texts = (list: unknown): list is string[] => Array.isArray(list) && list.every((one) => typeof one === 'string');
    if ((root !== null && typeof root !== 'string') || typeof exists !== 'boolean' || !texts(tried) || !texts(candidates)) return undefined;
    return { root, exists, tried, candidates };
  } catch {
    return undefined;
  }
}

/** What tells a root from others: the folder that its `projects` is in. */
export function nameOf({ root }: { root: string }): string {
  const [name, parent] = root.split('/').reverse();
  return (name === 'projects' && parent ? parent : name) || root;
}
