/** The page of a panel: scripts and styles from files only, and a policy under which nothing else can run. */
import * as vscode from 'vscode';

export function page(webview: vscode.Webview, context: vscode.ExtensionContext, script: 'run' | 'dashboard', title: string): string {
  const at = (name: string): string => webview.asWebviewUri(vscode.Uri.joinPath(context.extensionUri, 'dist', name)).toString();
  const policy = `default-src 'none'; script-src ${webview.cspSource}; style-src ${webview.cspSource}; font-src ${webview.cspSource}`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${at('panel.css')}">
<title>${title}</title>
</head>
<body><main id="main"><p class="quiet">Loading…</p></main><div id="live" class="unseen" role="status"></div><script src="${at(`${script}.js`)}"></script></body>
</html>`;
}

export function options(context: vscode.ExtensionContext): vscode.WebviewOptions & vscode.WebviewPanelOptions {
  return {
    enableScripts: true, enableForms: false, retainContextWhenHidden: false, enableFindWidget: true,
    localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist')],
  };
}
