// Bundles the extension and the scripts of its panels into dist/, and fetches the licences that are packaged with them.
import { cpSync } from 'node:fs';
import { build } from 'esbuild';

const common = { bundle: true, minify: true, sourcemap: false, legalComments: 'none', logLevel: 'warning', target: 'es2022' };
await Promise.all([
  build({
    ...common, entryPoints: ['src/extension.ts'], outfile: 'dist/extension.js',
    platform: 'node', format: 'cjs', external: ['vscode'],
  }),
  build({
    ...common, entryPoints: ['webview/run.ts', 'webview/dashboard.ts', 'webview/panel.css'], outdir: 'dist', platform: 'browser', format: 'iife',
  }),
]);
for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) cpSync(`../../${name}`, name);
