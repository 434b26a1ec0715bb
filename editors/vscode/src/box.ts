/** A box into which somebody types, with what the daemon says to it below. */
import * as vscode from 'vscode';
import { message } from './format';
import { said } from './tell';

export interface Row extends vscode.QuickPickItem { act?: () => unknown }

/** Opens it; `rowsFor` is asked after each change, and `act` of the row that is accepted is called. */
export function openBox(
  title: string, placeholder: string, value: string, rowsFor: (text: string, token: vscode.CancellationToken) => Promise<Row[]>,
): vscode.QuickPick<Row> {
  const box = Object.assign(vscode.window.createQuickPick<Row>(), { title, placeholder, value });
  let cancel: vscode.CancellationTokenSource | undefined;
  let shown: string | undefined;
  const ask = async (): Promise<void> => {
    cancel?.cancel();
    cancel = new vscode.CancellationTokenSource();
    const { token } = cancel;
    const text = box.value;
    box.busy = true;
    const rows = await rowsFor(text, token).catch((error: unknown) => [said(message(error))]);
    if (token.isCancellationRequested) return;
    box.items = rows;
    box.busy = false;
    shown = text;
  };
  box.onDidChangeValue(ask);
  box.onDidAccept(async () => {
    let [row] = box.activeItems;
    if (shown !== box.value) {
      // what was typed last is not answered yet
      await ask();
      if (shown !== box.value) return;
      [row] = box.items;
    }
    await row?.act?.();
    // which may have written into the box
    if (shown !== box.value) await ask();
  });
  box.onDidHide(() => {
    cancel?.cancel();
    box.dispose();
  });
  box.show();
  void ask();
  return box;
}
