// A run as text and as a panel, two runs compared, the dashboard, and all of it for everybody: axe-core in three themes.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { daemons, Place, record, top } from './place.mjs';
import { story } from './story.mjs';
import { check, equal, ok } from './tap.mjs';
import { until } from './window.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const THEMES = { light: 'Light Modern', dark: 'Dark Modern', 'high-contrast': 'Dark High Contrast' };
const timezone = 'America/New_York';

const HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><a href="javascript:window.pwned=1">x</a>';

/** The last so many days of the tests' zone, as a filter. */
function since(days) {
  // by the calendar: not every day has 24 hours
  const day = new Date(`${new Date().toLocaleDateString('sv', { timeZone: timezone })}T12:00Z`);
  day.setUTCDate(day.getUTCDate() - days + 1);
  return `startedAt >= ${day.toISOString().slice(0, 10)}`;
}

/** A failed run with steps of all kinds. */
function rich(more = {}) {
  const start = Date.now() - 90_000;
  const at = (millis) => new Date(start + millis).toISOString();
  const step = (number, nodeId, nodeType, from, duration, rest) => ({
    id: `step-${number}`, nodeId, nodeType, status: 'completed', startedAt: at(from), completedAt: at(from + duration), duration,
    tokenUsage: { input: 800 * number, output: 120 * number }, costUSD: 0.002 * number, model: 'large-2', ...rest,
  });
  return {
    id: 'exec-rich', name: 'Publish the release notes', status: 'failed', model: 'large-2',
    input: '# Task\n\nWrite the **release notes** for 2.4 and publish them.\n\n- keep them short\n- link the pages', output: '## 2.4\n\n- Pages load *twice* as fast.\n- The search finds words with accents.',
    error: 'Publishing failed: the server answered 503 (Service Unavailable) after 3 tries\n    at publish (workflow.js:41)',
    startedAt: at(0), completedAt: at(41_800), duration: 41_800, tokenUsage: { input: 8000, output: 1200, total: 9200 }, costUSD: 0.0731, retryCount: 3,
    steps: [
      step(1, 'collect', 'agent', 20, 9_400, { input: { repository: 'website', since: '2.3' }, output: { commits: 41, files: ['a.md', 'b.md'] } }),
      step(2, 'read-pages', 'mcp', 9_500, 4_100, { input: { pages: 17 }, output: 'All 17 pages were read.' }),
      step(3, 'write', 'subagent', 9_700, 18_300, { input: { commits: 41 }, output: '## 2.4\n\n- Pages load twice as fast.' }),
      step(4, 'check-links', 'hook', 28_100, 2_900, { input: { links: 17 }, output: { dead: [] } }),
      step(5, 'publish', 'mcp', 31_100, 10_600, { status: 'failed', input: { target: 'production' }, error: 'the server answered 503 (Service Unavailable)' }),
    ],
    ...more,
  };
}

export function panels(code, browser) {
  const place = new Place('site');
  let window;
  let panel;

  /** The first runs that the view shows of a project. */
  const runsOf = async (project, count) => {
    const labels = (await window.rows()).map(({ label }) => label);
    const from = labels.indexOf(project) + 1;
    return labels.slice(from, from + count);
  };
  const openRun = async (label) => {
    await window.settled();
    await window.select(label);
    panel = await window.panel('header h1');
    await until(`${label} is open`, async () => (panel = await window.panel('header h1')) && (await panel.textContent('h1')) === label);
  };
  const theme = async (name) => {
    const wanted = { light: 'vs', dark: 'vs-dark', 'high-contrast': 'hc-black' }[name];
    await window.commandWith('Preferences: Color Theme', THEMES[name]);
    await until('the theme is offered', async () => (await window.quickItems()).some((item) => item.startsWith(THEMES[name])));
    await window.page.keyboard.press('Enter');
    await until(`the theme ${name}`, () => window.page.evaluate((name) => document.querySelector('.monaco-workbench').classList.contains(name), wanted));
  };
  const axe = async (frame) => {
    await frame.evaluate(AXE);
    const { violations } = await frame.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const found = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    return found.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary?.slice(0, 220)}`).join(' | ')}`);
  };

  check('header, error in front, timeline, input and output', async () => {
    story(place);
    place.save('website', rich());
    window = await browser.open('panel', code, place.folder);
    await window.showView();
    await window.waitForRow('Publish the release notes');
    await openRun('Publish the release notes');
    const facts = await panel.textContent('.facts');
    for (const part of ['41.8s', '$0.0731', '9,200 (8,000 in, 1,200 out)', 'large-2']) ok(facts.includes(part), `${part} in ${facts}`);
    const order = await panel.$$eval('main > *', (parts) => parts.map((part) => part.querySelector('h2')?.textContent ?? part.tagName));
    equal(order.slice(0, 5), ['HEADER', 'Error', 'Timeline (5 steps)', 'Input', 'Output'], 'parts');
    const bars = await panel.$$eval('.step .fill', (fills) => fills.map((fill) => [fill.style.left, fill.style.width, fill.className]));
    equal(bars.length, 5, 'bars');
    ok(Math.abs(Number.parseFloat(bars[4][0]) - 100 * 31_100 / 41_800) < 0.1 && bars[4][2] === 'fill failed', `the last bar ${bars[4]}`);
    await panel.click('.step >> nth=4');
    await until('the step is open', async () => (await panel.textContent('#step-4')).includes('503'));
    equal(await panel.$$eval('[data-pointer="/input"] .markdown li', (items) => items.length), 2, 'items of the Markdown');
    await panel.click('[data-pointer="/input"] .modes button >> text=Text');
    ok((await panel.textContent('[data-pointer="/input"] pre')).includes('**release notes**'), 'the text as it is');
    await panel.click('[data-pointer="/input"] .copy');
    await until('it is copied', async () => (await window.page.evaluate(() => navigator.clipboard.readText())).startsWith('# Task'));
  });

  check('previous and next run, and the file', async () => {
    const { executions } = await place.ask('executions/list', { projectId: 'website', limit: 3 });
    await panel.click('#nextRun');
    await until('the older run', async () => (await panel.textContent('h1')) === executions[1].label);
    await panel.click('#previousRun');
    await until('the newer run', async () => (await panel.textContent('h1')) === executions[0].label);
    await panel.click('h1');
    await window.page.keyboard.press('Alt+ArrowRight');
    await until('the older run, by a key', async () => (await panel.textContent('h1')) === executions[1].label);
    await window.page.keyboard.press('Alt+ArrowLeft');
    await until('the newer run, by a key', async () => (await panel.textContent('h1')) === executions[0].label);
    equal(await panel.isDisabled('#previousRun'), true, 'no run before the newest');
    await panel.focus('#nextRun');
    place.save('website', record(-1, { id: 'newer', name: 'Newer than all' }));
    await until('a newer one is known', async () => !(await panel.isDisabled('#previousRun')));
    equal(await panel.evaluate(() => document.activeElement.id), 'nextRun', 'what has the focus');
    place.remove('website', 'newer');
    await until('none is newer again', () => panel.isDisabled('#previousRun'));
    await panel.click('#openFile');
    await until('the file', async () => (await window.text('.tabs-container .tab')).includes('exec-rich.json'));
  });

  check('what is pressed acts on the run that is seen, while the next one is on its way', async () => {
    const { executions } = await place.ask('executions/list', { projectId: 'website', limit: 2 });
    await openRun(executions[0].label);
    const [daemon] = daemons(place.root);
    process.kill(daemon, 'SIGSTOP');
    try {
      await panel.click('#nextRun');
      await panel.click('#pin');
    } finally {
      process.kill(daemon, 'SIGCONT');
    }
    const pinned = async () => (await place.ask('executions/list', { projectId: 'website', where: 'pinned' })).executions.map(({ id }) => id);
    await until('one is pinned', async () => (await pinned()).length > 0);
    equal(await pinned(), [executions[0].id], 'the pinned run');
    await until('the older run', async () => (await panel.textContent('h1')) === executions[1].label);
    await place.ask('executions/annotate', { projectId: 'website', executionId: executions[0].id, pinned: false });
    await window.settled();
  });

  check('previous and next run where pinned ones are first', async () => {
    const { executions } = await place.ask('executions/list', { projectId: 'website', limit: 6 });
    const { id, label } = executions[5];
    await openRun(executions[0].label);
    equal(await panel.isDisabled('#previousRun'), true, 'no run before the newest');
    place.settings({ 'runlog.pinnedFirst': true });
    await place.ask('executions/annotate', { projectId: 'website', executionId: id, pinned: true });
    await until('the pinned one is before it', async () => !(await panel.isDisabled('#previousRun')));
    await until('it is first', async () => (await window.rows())[1]?.label === label);
    await panel.click('#previousRun');
    await until('the pinned run', async () => (await panel.textContent('h1')) === label && (await panel.isDisabled('#previousRun')));
    await panel.click('#nextRun');
    await until('the newest', async () => (await panel.textContent('h1')) === executions[0].label);
    await panel.click('#nextRun');
    await until('the next', async () => (await panel.textContent('h1')) === executions[1].label);
    place.settings({});
    await place.ask('executions/annotate', { projectId: 'website', executionId: id, pinned: false });
    await until('it is where it was', async () => (await window.rows())[1]?.label === executions[0].label);
  });

  check('tag and note are shown; a change of the run is shown', async () => {
    await openRun('Publish the release notes');
    await window.typeInto(() => panel.click('#tag'), 'urgent, web');
    await window.page.keyboard.press('Enter');
    await until('the tags', async () => (await panel.textContent('.facts')).includes('urgent, web'));
    await window.typeInto(() => panel.click('#note'), 'ask Bob');
    await window.page.keyboard.press('Enter');
    await until('the note', async () => (await panel.textContent('.facts')).includes('ask Bob'));
    const [summary] = (await place.ask('executions/list', { where: 'tag = urgent and note ~ bob' })).executions;
    equal(summary?.id, 'exec-rich', 'the annotated run');
    place.save('website', rich({ output: 'Another output' }));
    await until('the new output', async () => (await panel.textContent('[data-pointer="/output"]')).includes('Another output'));
    place.save('website', rich());
    await window.settled();
  });

  check('run again gets the ids as arguments, without a shell', async () => {
    const said = join(top, 'again.json');
    code.machine({ 'runlog.runAgainCommand': [process.execPath, '-e', 'require("fs").writeFileSync(process.argv[1], JSON.stringify(process.argv.slice(2)))', said, '$(id)'] });
    await until('the button', async () => {
      await window.select('Publish the release notes');
      panel = await window.panel('header h1');
      return await panel.$('#runAgain');
    });
    await panel.click('#runAgain');
    await until('it ran', () => existsSync(said) && readFileSync(said, 'utf8') !== '');
    equal(JSON.parse(readFileSync(said, 'utf8')), ['$(id)', 'website', 'exec-rich'], 'arguments');
    code.machine({});
  });

  check('a large run is shown piece by piece', async () => {
    const large = 'line of a large output\n'.repeat(60_000);
    const steps = Array.from({ length: 3000 }, (_, place) => ({ id: `s${place}`, nodeId: `node-${place}`, status: 'completed', duration: 5, output: 'x'.repeat(2000) }));
    place.save('website', record(0, { id: 'large', name: 'Large run', output: large, steps }));
    await window.waitForRow('Large run');
    await openRun('Large run');
    const foot = await until('what is left', async () => (await panel.textContent('[data-pointer="/output"] .foot')).includes(large.length.toLocaleString('en')) && panel.$('[data-pointer="/output"] .foot button'));
    const before = (await panel.textContent('[data-pointer="/output"] pre')).length;
    await foot.click();
    await until('more of it', async () => (await panel.textContent('[data-pointer="/output"] pre')).length > before);
    equal(large.startsWith(await panel.textContent('[data-pointer="/output"] pre')), true, 'the text is its beginning');
    equal(await panel.$$eval('.step', (steps) => steps.length), 200, 'steps at first');
    ok((await panel.textContent('.step >> nth=150')).includes('node-150'), 'a step whose data was cut has its name');
    await panel.click('.timeline .foot button');
    await until('more steps', async () => (await panel.$$eval('.step', (steps) => steps.length)) === 400);
    ok((await panel.textContent('.step >> nth=399')).includes('node-399'), 'a step of the second page');
    await panel.click('.step >> nth=399');
    await until('its output', async () => (await panel.textContent('#step-399')).includes('xxx'));
    await panel.click('#openDocument');
    const lines = async () => (await window.text('.editor-instance .view-lines')).replaceAll('\u00a0', ' ');
    await until('the document, which says that it is not all', async () => (await lines()).includes('Not all of it is here'));
    await window.page.locator('.editor-instance .view-lines').click();
    await window.page.keyboard.press('Control+End');
    await until('what is left out, at its end', async () => /\/output: 1,3\d\d,\d{3} characters of 1\.4 MB/.test(await lines()));
    place.remove('website', 'large');
    await window.settled();
  });

  check('numbers are shown, and copied, as they are spelt', async () => {
    const output = '{"one":1.0,"huge":1e400,"long":12345678901234567890,"zero":-0,"small":0.10}';
    const { output: _, ...rest } = record(-4, { id: 'spelt', name: 'Spelt numbers', duration: 2000 });
    const text = JSON.stringify({ projectId: 'website', ...rest }).replace('"duration":2000', `"duration":2.0e3,"output":${output}`)
      .replace('"steps":[]', `"steps":[{"nodeId":"n","status":"completed","duration":1.5e3,"costUSD":0.10,"output":"[1.50]"},1.0]`);
    writeFileSync(place.path('website', 'spelt'), text);
    await window.press('Home');
    await window.waitForRow('Spelt numbers');
    await openRun('Spelt numbers');
    equal((await panel.textContent('[data-pointer="/output"] pre')).replace(/\s/g, ''), output, 'the output');
    await panel.click('.step');
    ok((await panel.textContent('.step')).includes('1.5s'), 'the duration of the step');
    ok((await panel.textContent('#step-0')).includes('$0.10') && (await panel.textContent('#step-0 pre')).includes('1.50'), 'its cost and its output, a text that is JSON');
    await panel.click('[data-pointer="/output"] .copy');
    await until('it is copied', async () => (await window.page.evaluate(() => navigator.clipboard.readText())).replace(/\s/g, '') === output);
    await panel.click('#openDocument');
    await until('the document', async () => {
      const shown = (await window.text('.editor-instance .view-lines')).replaceAll('\u00a0', ' ');
      return ['"one": 1.0', '"huge": 1e400', '"long": 12345678901234567890', '"zero": -0', 'duration: 2.0s'].every((part) => shown.includes(part));
    });
    place.remove('website', 'spelt');
    await window.settled();
  });

  check('no record can script the panel: HTML shows as text', async () => {
    place.save('hostile', record(-5, { name: HOSTILE, input: HOSTILE, output: `**bold** ${HOSTILE}\n\n[click](javascript:alert(1)) ![i](http://127.0.0.1:9/x.png)\n\n- list`, status: 'failed', error: HOSTILE, id: 'hostile', steps: [{ id: HOSTILE, nodeId: HOSTILE, status: HOSTILE, output: HOSTILE, input: { [HOSTILE]: HOSTILE } }] }));
    await window.press('Home');
    await until('the row', async () => (await window.rows()).some(({ label }) => label.includes('onerror')));
    await window.page.locator('.monaco-list-rows .monaco-list-row', { hasText: 'onerror' }).first().click();
    await until('it is open', async () => (await (panel = await window.panel('header h1')).textContent('h1')).includes('onerror'));
    await panel.click('.step');
    await until('its step', async () => (await panel.textContent('#step-0')).includes('onerror'));
    equal(await panel.evaluate(() => globalThis.pwned ?? null), null, 'what a script would have set');
    equal(await panel.$$eval('img, main script, a[href^="javascript"]', (found) => found.length), 0, 'images, scripts, javascript links');
    ok((await panel.textContent('[data-pointer="/output"]')).includes('<script>'), 'it is there as text');
    const policy = await panel.getAttribute('meta[http-equiv="Content-Security-Policy"]', 'content');
    place.remove('hostile', 'hostile');
    await until('it has gone', async () => !(await window.rows()).some(({ label }) => label.includes('onerror')));
    ok(policy.startsWith("default-src 'none'") && !policy.includes('unsafe'), policy);
  });

  check('document: read-only, folding and outline by steps', async () => {
    await window.press('Home');
    await openRun('Publish the release notes');
    await panel.click('#openDocument');
    const lines = () => window.page.$$eval('.editor-instance .view-lines .view-line', (rows) => rows.map((row) => row.textContent.replaceAll('\u00a0', ' ')));
    await until('the text', async () => (await lines()).some((row) => row.startsWith('Step 1: collect')));
    await window.page.keyboard.press('Control+Shift+O');
    await until('the outline', async () => (await window.quickItems()).filter((item) => item.startsWith('Step ')).length === 5);
    await window.page.keyboard.press('Escape');
    await window.page.locator('.editor-instance .view-lines').click();
    const long = (await lines()).filter((row) => row.includes('Repository') || row.includes('"repository"')).length;
    equal(long, 1, 'the input of a step');
    await window.command('Fold All');
    await until('folded', async () => !(await lines()).some((row) => row.includes('"repository"')) && (await lines()).some((row) => row.startsWith('Step 1: collect')));
    await window.page.keyboard.type('x');
    await until('it is read-only', async () => (await window.text('.monaco-editor-overlaymessage')).includes('read-only'));
    await window.page.keyboard.press('Escape');
  });

  check('compare two runs in the diff editor', async () => {
    place.save('website', rich({ id: 'exec-second', name: 'Publish again', output: 'It went well', error: undefined, status: 'completed', startedAt: new Date(Date.now() - 80_000).toISOString() }));
    await window.press('Home');
    await window.waitForRow('Publish again');
    await window.select('Publish the release notes');
    await window.row('Publish again').click({ modifiers: ['Control'] });
    await window.command('Runlog: Compare Selected');
    await until('both sides', async () => (await window.page.locator('.monaco-diff-editor .editor.original .view-line').count()) > 5);
    await until('what differs', async () => (await window.text('.monaco-diff-editor .editor.modified .view-lines')).replaceAll('\u00a0', ' ').includes('It went well'));
    await until('the tab names both', async () => (await window.text('.tabs-container .tab')).includes('↔'));
    place.remove('website', 'exec-second');
    await window.settled();
  });

  let dashboard;
  const openDashboard = async () => {
    await window.command('Runlog: Open Dashboard');
    dashboard = await window.panel('.controls');
    // what it showed before a reload VS Code notes from time to time only
    await dashboard.selectOption('#project', '');
    await dashboard.waitForSelector('figure canvas');
  };
  const tableOf = (title) => dashboard.$$eval(`figure[data-chart="${title}"] tbody tr`, (rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value)))));

  check('dashboard: its numbers are the protocol\'s', async () => {
    await openDashboard();
    const where = since(30);
    const series = await place.ask('executions/series', { where, timezone, bucket: 'day', by: 'status' });
    const headings = await dashboard.$$eval('figure[data-chart="Runs a day"] thead th', (cells) => cells.slice(1).map((cell) => cell.textContent));
    const from = (member) => series.buckets.map(({ groups }) => headings.map((status) => groups.find(({ key }) => key === status)?.[member] ?? 0));
    equal(await tableOf('Runs a day'), from('executions'), 'runs a day');
    const lines = await dashboard.$$eval('.tile', (tiles) => tiles.map((tile) => Math.round(tile.getBoundingClientRect().top)));
    ok(lines.filter((top) => top === lines.at(-1)).length > 1, `the last tile stands alone: ${lines}`);
    equal(await dashboard.$$eval('.tile .quiet', (names) => names.filter((name) => name.scrollWidth > name.clientWidth + 1).map(({ textContent }) => textContent)), [], 'names that are cut');
    equal(await tableOf('Cost a day'), from('totalCostUSD'), 'cost a day');
    equal(await tableOf('Success rate'), series.buckets.map(({ successRate }) => [successRate]), 'success rate');
    equal(await tableOf('Duration'), series.buckets.map(({ duration }) => [duration.p50, duration.p95]), 'durations');
    const nodes = await place.ask('nodes/stats', { where, timezone, orderBy: 'mostExpensive', limit: 10 });
    equal(await tableOf('Most expensive nodes'), nodes.nodes.filter(({ costUSD }) => costUSD).map(({ costUSD }) => [costUSD]), 'nodes');
    const failing = await place.ask('nodes/stats', { where, timezone, orderBy: 'mostFailing', limit: 10 });
    equal(await tableOf('Most failing nodes'), failing.nodes.filter(({ failures }) => failures > 0).map(({ failures }) => [failures]), 'failing nodes');
    const groups = await place.ask('errors/groups', { where, timezone, limit: 20 });
    equal(await dashboard.$$eval('.group', (rows) => rows.map(({ dataset }) => Number(dataset.count))), groups.groups.map(({ count }) => count), 'error groups');
    const stats = await place.ask('executions/stats', { where, timezone });
    equal(await dashboard.textContent('[data-tile=Runs]'), String(stats.totalExecutions), 'all runs');
  });

  check('dashboard: a bar leads to its runs, by mouse and by keyboard; range and project', async () => {
    const chart = dashboard.locator('figure[data-chart="Most failing nodes"] .chart');
    await chart.focus();
    for (const key of ['ArrowDown', 'Enter']) await dashboard.locator('figure[data-chart="Most failing nodes"] .chart').press(key);
    await until('the filter', async () => (await window.message()).includes('failedNode ='));
    const [node] = await dashboard.$$eval('figure[data-chart="Most failing nodes"] tbody th', (cells) => cells.map((cell) => cell.textContent));
    const runs = await place.ask('executions/list', { projectId: 'website', where: `failedNode = ${JSON.stringify(node)}` });
    await until('the runs', async () => JSON.stringify(await runsOf('website', 5)) === JSON.stringify(runs.executions.slice(0, 5).map(({ label }) => label)));
    await window.command('Runlog: Clear Filter');
    await dashboard.selectOption('#range', '7d');
    await until('a week', async () => (await tableOf('Runs a day')).length === 7);
    await dashboard.selectOption('#project', 'docs');
    const { total } = await place.ask('executions/list', { projectId: 'docs', where: since(7), timezone });
    await until('one project', async () => (await dashboard.textContent('[data-tile=Runs]')) === String(total));
    await dashboard.selectOption('#project', '');
    await dashboard.selectOption('#range', '30d');
    await until('all of it', async () => (await tableOf('Runs a day')).length === 30 && (await dashboard.textContent('[data-tile=Runs]')) === String((await place.ask('executions/list', { where: since(30), timezone, limit: 1 })).total));
    const canvas = dashboard.locator('figure[data-chart="Runs a day"] canvas');
    const box = await canvas.boundingBox();
    // the lowest part of today's bar, at the right
    for (let back = 4; back < 40; back += 4) {
      await dashboard.locator('figure[data-chart="Runs a day"] canvas').click({ position: { x: box.width - back, y: box.height - 62 } });
      if ((await window.message()).includes('startedAt < ')) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await until('the filter of a day', async () => (await window.message()).includes('startedAt < '));
    await window.command('Runlog: Clear Filter');
  });

  check('dashboard: what has the focus keeps it while runs come, and a project that has gone can be left', async () => {
    const runs = async () => Number(await dashboard.textContent('[data-tile=Runs]'));
    const focused = () => dashboard.evaluate(() => document.activeElement.id);
    const before = await runs();
    await dashboard.click('h1');
    await dashboard.focus('#range');
    await dashboard.$eval('#range', (select) => (select.dataset.same = 'yes'));
    place.save('website', record(0, { id: 'meanwhile' }));
    await until('it is counted', async () => (await runs()) === before + 1);
    equal([await focused(), await dashboard.getAttribute('#range', 'data-same')], ['range', 'yes'], 'the list that may be open');
    await dashboard.click('figure[data-chart="Runs a day"] summary');
    const id = await dashboard.$$eval('figure[data-chart="Runs a day"] td button', (cells) => cells.at(-1).id);
    await dashboard.focus(`[id="${id}"]`);
    place.remove('website', 'meanwhile');
    await until('it is not counted', async () => (await runs()) === before);
    equal(await focused(), id, 'the cell');
    await dashboard.click('figure[data-chart="Runs a day"] summary');
    place.save('gone', record(0, { id: 'only' }));
    await dashboard.selectOption('#project', 'gone');
    await until('one project', async () => (await runs()) === 1);
    place.remove('gone', 'only');
    await until('it has gone', async () => (await dashboard.textContent('main')).includes('No runs in this range'));
    equal(await dashboard.inputValue('#project'), 'gone', 'the project');
    await dashboard.selectOption('#project', '');
    await until('all of it', async () => (await runs()) === before);
  });

  check('after a reload of the window its panel is there again', async () => {
    await window.page.reload();
    // which one was in front, and of which project, VS Code notes from time to time only
    await window.panel('.controls, header ~ .timeline');
    await window.waitForRow('Publish the release notes');
    await window.settled();
  });

  check('axe-core finds nothing serious, in a light, a dark and a high-contrast theme; pictures', async () => {
    const pictures = process.env.RUNLOG_PICTURES;
    if (pictures) mkdirSync(pictures, { recursive: true });
    const findings = [];
    if (pictures) await window.widen(110);
    for (const name of Object.keys(THEMES)) {
      await theme(name);
      await openDashboard();
      await dashboard.selectOption('#project', '');
      await dashboard.selectOption('#range', '30d');
      await until('all of a month', async () => (await dashboard.textContent('[data-tile=Runs]')) === String((await place.ask('executions/list', { where: since(30), timezone, limit: 1 })).total));
      await until('a month', async () => (await tableOf('Runs a day')).length === 30);
      await dashboard.$$eval('details', (tables) => tables.forEach((table) => { table.open = true; }));
      findings.push(...(await axe(dashboard)).map((text) => `dashboard, ${name}: ${text}`));
      await dashboard.$$eval('details', (tables) => tables.forEach((table) => { table.open = false; }));
      if (pictures) await picture(window, join(pictures, `dashboard-${name}.png`));
      await openRun('Publish the release notes');
      await panel.$$eval('.step[aria-expanded=false]', (steps) => steps.slice(-2).forEach((step) => step.click()));
      findings.push(...(await axe(panel)).map((text) => `run, ${name}: ${text}`));
      if (pictures) await picture(window, join(pictures, `run-${name}.png`));
    }
    equal(findings, [], 'serious findings');
    equal(window.console.filter((text) => text.includes('Content Security Policy') && text.includes('runlog')), [], 'what the policy had to stop');
    await window.close();
  });
}

async function picture(window, path) {
  await window.lookAway();
  // what the mouse was over goes on being explained for a moment
  await until('no hover', async () => (await window.page.locator('.monaco-hover:visible, .workbench-hover:visible').count()) === 0);
  await window.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  writeFileSync(path, await window.page.screenshot());
}
