/** Files that cannot be read, as diagnostics on those files. */
import * as vscode from 'vscode';
import * as path from 'node:path';
import type { Connection } from './connection';
import type { Problem } from '../../clients/node/types';
import type { Session } from './session';

/** The daemon tells no change of them: it is asked, while somebody looks. */
const ASK_EVERY_MS = 3_000;
const PAGE = 1000;
/** More of them would only hide each other. */
const SHOWN = 2000;

export class Problems implements vscode.Disposable {
  readonly #diagnostics = vscode.languages.createDiagnosticCollection('runlog');
  readonly #timer = setInterval(() => vscode.window.state.focused && void this.#ask(), ASK_EVERY_MS);
  #asking = false;

  constructor(private readonly session: Session, context: vscode.ExtensionContext) {
    context.subscriptions.push(this, session.onChanged(() => void this.#ask()));
  }

  dispose(): void {
    clearInterval(this.#timer);
    this.#diagnostics.dispose();
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      const found: Array<[vscode.Uri, vscode.Diagnostic[]]> = [];
      for (const connection of this.session.connections) {
        if (connection.state !== 'ready') return;
        for (const problem of await all(connection)) found.push([vscode.Uri.file(path.join(connection.root, problem.path)), [diagnostic(problem)]]);
      }
      this.#diagnostics.clear();
      this.#diagnostics.set(found);
    } catch (error) {
      this.session.log.debug(String(error));
    } finally {
      this.#asking = false;
    }
  }
}

async function all(connection: Connection): Promise<Problem[]> {
  const found: Problem[] = [];
  let cursor: string | undefined;
  do {
    const page = await connection.request('server/problems', { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.problems);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined && found.length < SHOWN);
  return found;
}

function diagnostic({ kind, message }: Problem): vscode.Diagnostic {
  const severity = kind === 'corrupt' || kind === 'not-an-object' || kind === 'unreadable' || kind === 'corrupt-annotation'
    ? vscode.DiagnosticSeverity.Error : vscode.DiagnosticSeverity.Warning;
  const made = new vscode.Diagnostic(new vscode.Range(0, 0, 0, 0), message, severity);
  made.source = 'runlog';
  made.code = kind;
  return made;
}
