/** Files that cannot be read, as diagnostics on those files. */
import * as vscode from 'vscode';
import * as path from 'node:path';
import type { Connection } from './connection';
import type { Problem } from '../../clients/node/types';
import type { Session } from './session';

/** The daemon tells no change of them: it is asked while somebody looks, and after changes of runs. */
const ASK_EVERY_MS = 1_000;
const PAGE = 1000;
/** More of them would only hide each other. */
const SHOWN = 2000;

export class Problems implements vscode.Disposable {
  readonly #diagnostics = vscode.languages.createDiagnosticCollection('runlog');
  readonly #timer = setInterval(() => (this.#changed || vscode.window.state.focused) && void this.#ask(), ASK_EVERY_MS);
  readonly #found = new Map<Connection, Problem[]>();
  #shown = '';
  #changed = true;
  #asking = false;

  constructor(private readonly session: Session, context: vscode.ExtensionContext) {
    context.subscriptions.push(this, session.onChanged(() => void this.#ask()), session.onTold(() => (this.#changed = true)));
  }

  dispose(): void {
    clearInterval(this.#timer);
    this.#diagnostics.dispose();
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    this.#changed = false;
    try {
      const { connections } = this.session;
      for (const connection of this.#found.keys()) if (!connections.includes(connection)) this.#found.delete(connection);
      // of a root whose daemon is just not there, what was found last goes on being shown
      for (const connection of connections) if (connection.state === 'ready') this.#found.set(connection, await all(connection));
      const found = [...this.#found].flatMap(([{ root }, problems]) => problems.map((problem) => ({ file: path.join(root, problem.path), problem })));
      const shown = JSON.stringify(found);
      if (shown === this.#shown) return;
      this.#shown = shown;
      this.#diagnostics.clear();
      this.#diagnostics.set(found.map(({ file, problem }) => [vscode.Uri.file(file), [diagnostic(problem)]]));
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
