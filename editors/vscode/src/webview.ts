/** The panels: a page of ours each, whose scripts and styles are files, and a policy under which nothing else can run. */
import * as vscode from 'vscode';
import type { Session } from './session';
import { together } from './together';

/** A panel of which a window has one, with what it was told last for the window after this one. */
export abstract class Page<To, From, State> implements vscode.WebviewPanelSerializer<State> {
  protected panel: vscode.WebviewPanel | undefined;
  /** Whether the page hears what is said: a hidden one is let go, and says again when it is ready. */
  protected ready = false;
  /** What the page has, which need not be said again. */
  protected sent: string | undefined;
  /** Asks again for what the page shows, soon. */
  protected readonly soon: () => void;

  constructor(
    protected readonly session: Session, protected readonly context: vscode.ExtensionContext,
    private readonly name: 'run' | 'dashboard', private readonly title: string, refreshEvery: number,
  ) {
    this.soon = together(refreshEvery, () => this.update());
    context.subscriptions.push(vscode.window.registerWebviewPanelSerializer(`runlog.${name}`, this));
  }

  protected abstract update(): Promise<void>;
  protected abstract heard(said: From): unknown;
  /** Takes over what the window before this one showed, if it can be shown. */
  protected abstract restore(state: State | undefined): boolean;

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, state: State | undefined): Promise<void> {
    // first it must be known what is served
    await this.session.opened;
    if (this.panel || !this.restore(state)) panel.dispose();
    else this.#adopt(panel);
  }

  protected reveal(): void {
    if (!this.panel) {
      // the window before this one may have left a tab that was not looked at yet
      const left = vscode.window.tabGroups.all.flatMap(({ tabs }) => tabs)
        .filter(({ input }) => input instanceof vscode.TabInputWebview && input.viewType.endsWith(`runlog.${this.name}`));
      void vscode.window.tabGroups.close(left);
      this.#adopt(vscode.window.createWebviewPanel(`runlog.${this.name}`, this.title, vscode.ViewColumn.Active, { enableFindWidget: true }));
    } else if (!this.panel.visible) {
      this.panel.reveal();
    }
    void this.update();
  }

  protected say(what: To): void {
    // as text, in which numbers keep their spelling
    void this.panel?.webview.postMessage(JSON.stringify(what));
  }

  #adopt(panel: vscode.WebviewPanel): void {
    const { extensionUri } = this.context;
    this.panel = panel;
    this.ready = false;
    panel.iconPath = vscode.Uri.joinPath(extensionUri, 'images', 'activity.svg');
    panel.webview.options = { enableScripts: true, enableForms: false, localResourceRoots: [vscode.Uri.joinPath(extensionUri, 'dist')] };
    panel.webview.onDidReceiveMessage((said: From | 'ready') => {
      if (said !== 'ready') return this.heard(said);
      this.ready = true;
      this.sent = undefined;
      return this.update();
    });
    panel.onDidChangeViewState(() => !panel.visible && (this.ready = false));
    panel.onDidDispose(() => {
      if (this.panel !== panel) return;
      this.panel = undefined;
      this.ready = false;
    });
    panel.webview.html = this.#html(panel.webview);
  }

  #html(webview: vscode.Webview): string {
    const at = (name: string): string => webview.asWebviewUri(vscode.Uri.joinPath(this.context.extensionUri, 'dist', name)).toString();
    const policy = `default-src 'none'; script-src ${webview.cspSource}; style-src ${webview.cspSource}; font-src ${webview.cspSource}`;
    return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${at('panel.css')}">
<title>${this.title}</title>
</head>
<body><main id="main"><p class="quiet">Loading…</p></main><div id="live" class="unseen" role="status"></div><script src="${at(`${this.name}.js`)}"></script></body>
</html>`;
  }
}
