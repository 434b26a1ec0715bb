/** Files that cannot be read, as diagnostics on those files. */
import * as vscode from 'vscode';
import * as path from 'node:path';
import type { Connection } from './connection';
import type { Problem } from '../../clients/node/types';
import type { Session } from './session';
import { together } from './together';

/** The daemon tells no change of them: it is asked after changes of runs, and so often while the window has the focus. */
const LOOK_EVERY_MS = 1_000;
const TOGETHER_MS = 500;
const PAGE = 1000;
/** More of them would only hide each other. */
const SHOWN = 2000;
const ERRORS = ['corrupt', 'not-an-object', 'unreadable', 'corrupt-annotation'];

export function showProblems(session: Session, context: vscode.ExtensionContext): void {
  const diagnostics = vscode.languages.createDiagnosticCollection('runlog');
  const known = new Map<Connection, Problem[]>();
  let shown = '';
  const ask = async (): Promise<void> => {
    for (const connection of known.keys()) if (!session.connections.includes(connection)) known.delete(connection);
    // of a root whose daemon is just not there, or cannot say, what was found last goes on being shown
    for (const connection of session.connections.filter(({ state }) => state === 'ready')) {
      const asked = all(connection).then((problems) => void known.set(connection, problems), (error: unknown) => session.log.debug(String(error)));
      await connection.unlessSilent(asked);
    }
    const found = [...known].flatMap(([{ root }, problems]) => problems.map((problem) => ({ file: path.join(root, problem.path), problem })));
    if (JSON.stringify(found) === shown) return;
    shown = JSON.stringify(found);
    diagnostics.clear();
    diagnostics.set(found.map(({ file, problem }) => [vscode.Uri.file(file), [diagnostic(problem)]]));
  };
  const soon = together(TOGETHER_MS, () => ask().catch((error: unknown) => session.log.debug(String(error))));
  const look = setInterval(() => vscode.window.state.focused && soon(), LOOK_EVERY_MS);
  context.subscriptions.push(diagnostics, { dispose: () => clearInterval(look) }, session.onChanged(soon), session.onTold(soon));
}

async function all(connection: Connection): Promise<Problem[]> {
  const found: Problem[] = [];
  for await (const page of connection.pages('server/problems', { limit: PAGE })) {
    found.push(...page.problems);
    if (found.length >= SHOWN) break;
  }
  return found;
}

function diagnostic({ kind, message }: Problem): vscode.Diagnostic {
  const severity = ERRORS.includes(kind) ? vscode.DiagnosticSeverity.Error : vscode.DiagnosticSeverity.Warning;
  const made = new vscode.Diagnostic(new vscode.Range(0, 0, 0, 0), message, severity);
  made.source = 'runlog';
  made.code = kind;
  return made;
}
