// Everything that starts and ends with the tests: VS Code, the browser, the daemons, the temporary folder.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endAll, top } from './place.mjs';
import { inGroup, runAll } from './tap.mjs';
import { Browser, Code } from './window.mjs';
import { states } from './states.mjs';
import { view } from './view.mjs';
import { panels } from './panels.mjs';
import { unusual } from './unusual.mjs';

const here = fileURLToPath(new URL('..', import.meta.url));
const code = new Code('code', true);
const changing = new Code('changing', true);
const careful = new Code('careful', false);
const browser = new Browser();
const began = Date.now();
let failures = 1;

async function end() {
  await browser.stop().catch(() => undefined);
  code.stop();
  changing.stop();
  careful.stop();
  await endAll();
  if (!process.env.RUNLOG_KEEP) rmSync(top, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end().then(() => process.exit(1)));

try {
  Code.install(join(here, 'runlog.vsix'));
  await Promise.all([code.start(), changing.start(), careful.start(), browser.start()]);
  // each group may change the settings of its own VS Code
  inGroup('view');
  view(code, browser);
  inGroup('panel');
  panels(code, browser);
  inGroup('unusual');
  unusual(code, browser);
  inGroup('states');
  states(changing, careful, browser);
  failures = await runAll(process.argv.slice(2), async (number, group) => {
    // what the person would have seen
    await browser.last[group]?.page.screenshot({ path: join(here, `test/failed-${number}.png`) });
    // the next check is not to fail for what this one left
    for (let boxes = 0; boxes < 2; boxes++) await browser.last[group]?.page.keyboard.press('Escape');
    for (const one of [code, changing, careful]) one.machine({});
  });
  console.log(`# ${((Date.now() - began) / 1000).toFixed(1)} s, ${failures} failed`);
} finally {
  await end();
}
process.exit(failures === 0 ? 0 : 1);
