/** Which roots a window shows: the configured folders, else what `runlog root` finds in each folder of the workspace. */
import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';

/** What `runlog root --json` prints. */
type Printed = Record<'tried' | 'candidates', string[]> & { root: string | null; exists: boolean };

/** The roots that are there, each once, and where one was looked for. */
export async function findRoots(program: string): Promise<{ folders: string[]; tried: string[] }> {
  const folders = new Set<string>();
  const tried = new Set<string>();
  const workspace = (vscode.workspace.workspaceFolders ?? []).flatMap(({ uri }) => (uri.scheme === 'file' ? uri.fsPath : []));
  const configured = vscode.workspace.getConfiguration('runlog').get<string[]>('projects', []);
  for (const name of configured) {
    const folder = path.resolve(workspace[0] ?? '/', name);
    if (existsSync(`${folder}/`)) folders.add(realpathSync(folder));
    else tried.add(`${folder} (the setting runlog.projects)`);
  }
  if (configured.length === 0) {
    for (const printed of await Promise.all(workspace.map((folder) => ask(program, folder)))) {
      if (printed.root !== null && printed.exists) folders.add(printed.root);
      for (const candidate of printed.candidates) folders.add(candidate);
      for (const place of printed.tried) tried.add(place);
    }
  }
  return { folders: [...folders], tried: [...tried] };
}

async function ask(program: string, cwd: string): Promise<Printed> {
  // where several could be meant it tells them and ends with a status
  const { stdout, stderr } = await promisify(execFile)(program, ['root', '--json'], { cwd, timeout: 30_000 })
    .catch((error: { stdout?: string; stderr?: string; message: string }) => ({ stdout: error.stdout ?? '', stderr: error.stderr ?? error.message }));
  try {
    return JSON.parse(stdout) as Printed;
  } catch {
    return { root: null, exists: false, tried: [stderr.trim() || `${program} root --json said nothing in ${cwd}`], candidates: [] };
  }
}

/** What tells a root from others: the folder that its `projects` is in. */
export function nameOf({ root }: { root: string }): string {
  const [name, parent] = root.split('/').reverse();
  return (name === 'projects' && parent ? parent : name) || root;
}
