// The view: list, live changes, filter, search, deleting, problems, status bar.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Place, record } from './place.mjs';
import { check, equal, ok } from './tap.mjs';
import { until } from './window.mjs';

export function view(code, browser) {
  const place = new Place('shop');
  let window;
  const labels = async () => (await window.rows()).map(({ label }) => label);

  check('list: projects and runs, newest first, with status, time, duration and cost', async () => {
    for (let number = 0; number < 120; number++) place.save('website', record(number));
    for (let number = 0; number < 3; number++) place.save('docs', record(number + 200, { input: `Page ${number}` }));
    place.save('docs', record(300, { id: 'quiet', input: 'Went silent', status: 'running', completedAt: undefined, duration: undefined }));
    const { utimesSync } = await import('node:fs');
    utimesSync(place.path('docs', 'quiet'), new Date(Date.now() - 7_200_000), new Date(Date.now() - 7_200_000));
    window = await browser.open('view', code, place.folder);
    await window.showView();
    const row = await window.waitForRow('Task number 0');
    ok(/codicon-pass/.test(row.icon), `icon ${row.icon}`);
    ok(/^\$0\.01 · .+ · 1s$/.test(row.description), `description ${row.description}`);
    ok(/^Task number 0 · completed · .+ · 1\.0s · \$0\.01/.test(await window.row('Task number 0').getAttribute('aria-label')), 'what is read out has all of it');
    ok(/codicon-error/.test((await window.waitForRow('Task number 3')).icon), 'a failed run has another icon');
    const { executions } = await place.ask('executions/list', { projectId: 'website' });
    equal((await labels()).slice(1, 31), executions.slice(0, 30).map(({ label }) => label), 'rows');
    equal((await labels())[0], 'website', 'first row');
    const color = await window.row('Task number 3').locator('.custom-view-tree-node-item-icon').evaluate((icon) => getComputedStyle(icon).color);
    const other = await window.row('Task number 4').locator('.custom-view-tree-node-item-icon').evaluate((icon) => getComputedStyle(icon).color);
    ok(color !== other, 'statuses have colours of their own');
  });

  check('the cost is in sight in a view of the usual width', async () => {
    const input = 'Translate the landing page';
    place.save('website', record(0, { id: 'costly', input, costUSD: 0.0731459, duration: 185_000 }));
    const { description } = await window.waitForRow(input);
    ok(/^\$0\.073 · .+ · 3m$/.test(description), description);
    const [end, edge] = await window.row(input).evaluate((row) => {
      const range = document.createRange();
      const [text] = row.querySelector('.label-description').childNodes;
      range.setStart(text.nodeType === 3 ? text : text.firstChild, 0);
      range.setEnd(text.nodeType === 3 ? text : text.firstChild, 1 + '$0.073'.length);
      return [range.getBoundingClientRect().right, row.closest('.monaco-list').getBoundingClientRect().right];
    });
    ok(end < edge, `the cost ends at ${end}, the view at ${edge}`);
    place.remove('website', 'costly');
    await until('it has gone', async () => !(await labels()).includes(input));
  });

  check('live: a run appears after the engine\'s rename, the selection stays', async () => {
    await window.select('Task number 5');
    const arrived = record(0, { id: 'arrived', input: 'Arrived just now' });
    const began = Date.now();
    place.save('website', arrived);
    await window.waitForRow('Arrived just now', 5000);
    console.log(`# painted after ${Date.now() - began} ms`);
    equal((await labels())[1], 'Arrived just now', 'first run');
    equal((await window.rows()).filter(({ selected }) => selected).map(({ label }) => label), ['Task number 5'], 'selected');
    place.save('website', { ...arrived, status: 'failed', error: 'No' });
    await until('the new status', async () => /codicon-error/.test((await window.waitForRow('Arrived just now')).icon), 5000);
    place.remove('website', 'arrived');
    await until('the row has gone', async () => !(await labels()).includes('Arrived just now'), 5000);
  });

  check('rows stay where they are while somebody reads further down', async () => {
    const list = window.page.locator('.sidebar .tree-explorer-viewlet-tree-view .monaco-list');
    await list.hover();
    await window.page.mouse.wheel(0, 4000);
    await until('the list is scrolled', async () => (await labels())[0] !== 'website' && (await labels())[5] !== undefined);
    await window.select('Task number 33');
    // that somebody reads there is known only when it was painted
    await window.settled();
    const before = await labels();
    for (let number = 0; number < 30; number++) place.save('website', record(0, { id: `above-${number}`, input: `Above ${number}` }));
    await until('all are known', async () => (await place.ask('executions/list', { projectId: 'website', limit: 1 })).total === 150);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    equal((await labels()).slice(0, 10), before.slice(0, 10), 'first visible rows');
    equal((await window.rows()).filter(({ selected }) => selected).map(({ label }) => label), ['Task number 33'], 'selected');
    await list.hover();
    await window.page.mouse.wheel(0, -50000);
    await until('the project says how many wait', async () => (await window.rows())[0]?.description.includes('30 new'));
    await window.pressButton('website', 'Show New Runs', 'they are shown', async () => (await labels()).some((label) => label.startsWith('Above')));
    for (let number = 0; number < 30; number++) place.remove('website', `above-${number}`);
    await until('they have gone', async () => !(await labels()).some((label) => label.startsWith('Above')));
  });

  check('rows stay where they are for who has only scrolled, and what has waited comes at the top', async () => {
    await window.settled();
    await window.select('Task number 0');
    const list = window.page.locator('.sidebar .tree-explorer-viewlet-tree-view .monaco-list');
    const total = async () => (await place.ask('executions/list', { limit: 1 })).total;
    let saved = 0;
    const arrive = async (count) => {
      const all = (await total()) + count;
      for (; count > 0; count--, saved++) place.save('website', record(0, { id: `above-${saved}`, input: `Above ${saved}` }));
      await until('all are known', async () => (await total()) === all);
      await window.settled();
    };
    // what comes before the view knows of the reader may move the rows, once
    await until('the view knows that somebody reads', async () => {
      await list.hover();
      await window.page.mouse.wheel(0, 4000);
      await until('the list is scrolled', async () => !(await labels()).includes('Task number 0'));
      await window.settled();
      const there = await labels();
      await arrive(1);
      return there.join() === (await labels()).join();
    });
    const before = await labels();
    await arrive(30 - saved);
    // one further down goes on being shown as it is, and a project that gets the newest run stays where it is
    const all = await total();
    place.save('docs', record(0, { id: 'newest', input: 'The newest' }));
    await until('it is known', async () => (await total()) === all + 1);
    await window.settled();
    equal((await labels()).slice(0, 20), before.slice(0, 20), 'visible rows');
    const shown = before[10];
    place.save('website', record(Number(shown.split(' ').at(-1)), { input: `${shown}, changed` }));
    await window.waitForRow(`${shown}, changed`);
    equal((await labels()).slice(0, 10), before.slice(0, 10), 'rows above');
    await list.hover();
    await window.page.mouse.wheel(0, -50000);
    await until('they are shown', async () => (await labels()).some((label) => label.startsWith('Above')));
    equal((await labels())[0], 'docs', 'the project with the newest run');
    for (let number = 0; number < 30; number++) place.remove('website', `above-${number}`);
    place.remove('docs', 'newest');
    place.save('website', record(Number(shown.split(' ').at(-1))));
    await until('they have gone', async () => (await labels())[0] === 'website' && !(await labels()).some((label) => label.startsWith('Above')));
  });

  check('who reads further down sees what changes there, what goes and what is put back; with pinned ones first too', async () => {
    const [changed, removed] = ['exec-0012', 'exec-0013'].map((id) => JSON.parse(readFileSync(place.path('website', id), 'utf8')));
    for (const pinnedFirst of [false, true]) {
      place.settings({ 'runlog.pinnedFirst': pinnedFirst });
      await window.settled();
      await window.select('Task number 16');
      await window.settled();
      place.save('website', { ...changed, input: 'Changed below' });
      await window.waitForRow('Changed below', 5000);
      place.remove('website', removed.id);
      await until('it has gone', async () => !(await labels()).includes(removed.input), 5000);
      place.save('website', removed);
      await window.waitForRow(removed.input, 5000);
      place.save('website', changed);
      await window.waitForRow(changed.input, 5000);
      await window.select('Task number 0');
    }
    place.settings({});
  });

  check('load more: the last row brings the next page', async () => {
    await window.select('Task number 0');
    await window.press('End');
    await until('the end', async () => (await labels()).includes('Went silent'));
    const silent = await window.waitForRow('Went silent');
    ok(/codicon-warning/.test(silent.icon) && silent.description.startsWith('stale'), 'a silent run is marked as stale');
    const more = await window.waitForRow('Load more…');
    equal(more.description, '50 of 120', 'what the row says');
    await until('the next page', async () => {
      await window.row('Load more…').click({ timeout: 10_000 });
      return await window.waitForRow('Task number 52', 3000);
    });
    await window.press('Home');
  });

  check('filter: completions, the place of an error, and the runs that pass', async () => {
    await window.command('Runlog: Filter Runs');
    await until('fields are offered', async () => (await window.quickItems()).some((item) => item.includes('costUSD')));
    await window.type('status = failed and costUDS > 1');
    const item = await until('the error', async () => (await window.quickItems()).find((text) => text.includes('At 21')));
    ok(item.includes('costUSD') && item.includes('▸costUDS◂'), item);
    await window.page.keyboard.press('Enter');
    ok((await window.quickItems()).length > 0, 'a wrong filter does not close the box');
    await window.type('stat');
    await until('a completion', async () => (await window.quickItems()).some((text) => text.startsWith('status')));
    await window.page.locator('.quick-input-list .monaco-list-row', { hasText: /^status/ }).first().click();
    await until('it is written', async () => (await window.page.inputValue('.quick-input-widget input[type=text]')) === 'status ');
    await window.type('status = failed and duration >= 5s');
    await until('it is right', async () => (await window.quickItems())[0]?.startsWith('Show runs with'));
    await window.page.keyboard.press('Enter');
    const { executions } = await place.ask('executions/list', { projectId: 'website', where: 'status = failed and duration >= 5s' });
    const matching = executions.map(({ label }) => label);
    await until('only those', async () => JSON.stringify((await labels()).slice(0, 1 + matching.length)) === JSON.stringify(['website', ...matching]));
    equal((await window.rows())[0].description, String(matching.length), 'the project counts those that pass');
    await until('it stands above the rows', async () => (await window.message()) === 'status = failed and duration >= 5s');
    ok(await window.page.locator('.sidebar .tree-explorer-viewlet-tree-view .message').isVisible(), 'it is to be seen');
    place.save('website', record(0, { id: 'passes-not', input: 'Does not pass' }));
    place.save('website', record(0, { id: 'passes', input: 'Passes', status: 'failed', duration: 6000 }));
    await window.waitForRow('Passes');
    ok(!(await labels()).includes('Does not pass'), 'what does not pass is not shown');
    place.remove('website', 'passes');
    place.remove('website', 'passes-not');
    await window.command('Runlog: Clear Filter');
    await window.waitForRow('Task number 0');
    await until('nothing stands there any more', async () => (await window.message()) === '');
  });

  check('filter by status', async () => {
    await window.command('Runlog: Filter by Status');
    await window.page.locator('.quick-input-list .monaco-list-row', { hasText: 'failed' }).first().click();
    await window.page.keyboard.press('Enter');
    await until('failed ones only', async () => (await window.rows()).slice(1, 10).every(({ icon }) => /codicon-error/.test(icon)));
    await window.command('Runlog: Clear Filter');
    await window.waitForRow('Task number 0');
  });

  check('search: over contents, with snippets, opens the run', async () => {
    place.save('docs', record(400, { id: 'needle', input: 'Something else', output: `${'much text '.repeat(50)}the haystack hides a zebrafish ${'and more '.repeat(50)}` }));
    await until('it is indexed', async () => (await place.ask('executions/search', { query: 'zebrafish', sync: true })).hits.length === 1);
    await window.commandWith('Runlog: Search in Runs', 'zebraf*');
    const item = await until('the hit', async () => (await window.quickItems()).find((text) => text.includes('Something else')));
    ok(item.includes('/output') && item.includes('«zebrafish»'), item);
    await window.page.keyboard.press('Enter');
    const panel = await window.panel('h1');
    await until('it is open', async () => (await panel.textContent('h1')) === 'Something else');
    await window.commandWith('Runlog: Search in Runs', '"unclosed');
    await until('what is wrong, and where', async () => (await window.quickItems()).some((text) => text.includes('At 1: `"unclosed`, where a closing `"` was expected.')));
    await window.page.keyboard.press('Escape');
  });

  check('no text of a record shows as an icon, in the view, the search and the filter', async () => {
    place.save('website', record(0, { id: 'iconic', input: 'Empty the $(trash) now', output: 'the $(trash) hides a quetzal', tags: ['x'] }));
    await until('it is indexed', async () => (await place.ask('executions/search', { query: 'quetzal', sync: true })).hits.length === 1);
    const trash = () => window.page.locator('.quick-input-list .codicon-trash, .sidebar .label-name .codicon, .sidebar .label-description .codicon').count();
    await window.waitForRow('Empty the $(trash) now');
    await window.commandWith('Runlog: Search in Runs', 'quetzal');
    await until('the hit', async () => (await window.text('.quick-input-list')).replaceAll('\u2060', '').includes('the $(trash) hides a «quetzal»'));
    ok((await window.text('.quick-input-list')).replaceAll('\u2060', '').includes('Empty the $(trash) now'), 'the label');
    equal(await trash(), 0, 'icons');
    await window.page.keyboard.press('Escape');
    await window.commandWith('Runlog: Filter Runs', 'label ~ "$(trash)"');
    await until('it is right', async () => (await window.text('.quick-input-list')).replaceAll('\u2060', '').includes('Show runs with label ~ "$(trash)"'));
    equal(await trash(), 0, 'icons');
    await window.page.keyboard.press('Escape');
    place.remove('website', 'iconic');
    await until('it has gone', async () => !(await labels()).includes('Empty the $(trash) now'));
  });

  check('delete and undo', async () => {
    await window.select('Task number 2');
    await window.page.keyboard.press('Escape');
    await window.pressButton('Task number 2', 'Delete', 'the row has gone', async () => !(await labels()).includes('Task number 2'));
    ok((await place.ask('executions/list', { projectId: 'website', where: 'id = exec-0002', sync: true })).total === 0, 'it is deleted');
    const toast = await window.notification('Deleted run Task number 2 · exec-0002.');
    await toast.locator('.monaco-button', { hasText: 'Undo' }).click();
    await window.waitForRow('Task number 2');
  });

  check('keys and the palette mean what is selected in the view, or what the panel shows: where the person was last', async () => {
    const copied = async (label, id) => {
      await window.command('Runlog: Copy Id');
      await until(`the id of ${label}`, async () => (await window.page.evaluate(() => navigator.clipboard.readText())) === id, 5000);
    };
    const selected = async () => (await window.rows()).filter((row) => row.selected).map(({ label }) => label);
    await window.select('Task number 1');
    const panel = await window.panel('header h1');
    await until('it is open', async () => (await panel.textContent('h1')) === 'Task number 1');
    await copied('the panel', 'exec-0001');
    await window.settled();
    // without opening them, in place of the one that is open
    for (const number of [1, 5, 6]) await window.row(`Task number ${number}`).click({ modifiers: ['Control'] });
    await until('others are selected', async () => JSON.stringify(await selected()) === JSON.stringify(['Task number 5', 'Task number 6']));
    await copied('the selected', 'exec-0005\nexec-0006');
    await panel.click('h1');
    await copied('the panel', 'exec-0001');
    await window.press('Delete');
    let toast = await window.notification('Deleted');
    ok((await toast.textContent()).includes('Deleted 2 runs.'), await toast.textContent());
    await until('the selected ones have gone', async () => !(await labels()).some((label) => ['Task number 5', 'Task number 6'].includes(label)));
    await toast.locator('.monaco-button', { hasText: 'Undo' }).click();
    await window.waitForRow('Task number 5');
    await window.settled();
    equal(await selected(), [], 'selected');
    // nothing is selected: the row with the focus
    await window.press('Home');
    await window.page.keyboard.press('ArrowDown');
    await window.page.keyboard.press('Delete');
    toast = await window.notification('Deleted run Task number 0 · exec-0000.');
    await toast.locator('.monaco-button', { hasText: 'Undo' }).click();
    await window.waitForRow('Task number 0');
    equal(await panel.textContent('h1'), 'Task number 1', 'the run in the panel');
  });

  check('of several runs one cannot be deleted: it is said, and the others come back with undo', async () => {
    const project = '[locked](command:x)';
    place.save(project, record(0, { id: 'kept', input: 'Kept' }));
    // where the trash would be
    writeFileSync(`${place.root}/${project}/.runlog`, '');
    await window.waitForRow('Kept');
    await window.settled();
    // a painting in between takes a click or a key with it
    await until('the one has gone', async () => {
      await window.select('Task number 4');
      await window.row('Kept').click({ modifiers: ['Control'] });
      await until('both are selected', async () => (await window.rows()).filter(({ selected }) => selected).length === 2);
      await window.press('Delete');
      await window.row('Task number 4').waitFor({ state: 'detached', timeout: 8000 });
      return true;
    });
    const toast = await window.notification('Not deleted: 1, the first kept: ');
    ok((await toast.textContent()).includes('Deleted run exec-0004.'), await toast.textContent());
    equal(await toast.locator('.notification-list-item-message a').count(), 0, 'links');
    await until('the one has gone', async () => !(await labels()).includes('Task number 4') && (await labels()).includes('Kept'));
    await toast.locator('.monaco-button', { hasText: 'Undo' }).click();
    await window.waitForRow('Task number 4');
    place.remove(project, 'kept');
    await until('all is as it was', async () => (await labels())[0] === 'website');
  });

  check('a key pressed while typing in the view deletes nothing', async () => {
    const { total } = await place.ask('executions/list', { limit: 1 });
    await window.select('Task number 1');
    await window.press('F3');
    const find = window.page.locator('.sidebar .monaco-tree-type-filter input');
    await find.fill('Task number');
    await find.press('Delete');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await find.press('Escape');
    equal((await place.ask('executions/list', { limit: 1, sync: true })).total, total, 'runs');
  });

  check('pin, and pinned first', async () => {
    place.settings({ 'runlog.pinnedFirst': true });
    await window.settled();
    await window.pressButton('Task number 9', 'Pin', 'it is first', async () => (await labels())[1] === 'Task number 9');
    equal((await labels())[2], 'Task number 0', 'then the others');
    await window.pressButton('Task number 9', 'Unpin', 'it is back', async () => (await labels())[1] === 'Task number 0');
    place.settings({});
  });

  check('corrupt files are diagnostics on those files', async () => {
    mkdirSync(`${place.root}/docs/executions`, { recursive: true });
    writeFileSync(place.path('docs', 'broken'), '{"id": "broken", ');
    await until('the daemon has it', async () => (await place.ask('server/problems')).problems.length === 1);
    await window.command('Problems: Focus on Problems View');
    await until('it is shown', async () => (await window.text('.markers-panel')).includes('broken.json'), 2_500);
    place.remove('docs', 'broken');
    await until('it has gone', async () => !(await window.text('.markers-panel')).includes('broken.json'), 5_000);
    await window.command('View: Toggle Panel Visibility');
  });

  check('status bar: today\'s cost and what runs; the budget warns once', async () => {
    const bar = () => window.text('.statusbar-item[id="runlog.runlog.today"], .statusbar-item[id*="runlog.today"]');
    place.save('website', record(0, { id: 'running', input: 'Going on', status: 'running', completedAt: undefined, duration: undefined, costUSD: 1.5 }));
    const timezone = 'America/New_York';
    await until('what stats tell', async () => {
      const { totalCostUSD } = await place.ask('executions/stats', { where: 'startedAt >= today', timezone });
      return (await bar()).includes(`$${totalCostUSD.toFixed(2)} today`) && (await bar()).includes('1 running');
    });
    place.settings({ 'runlog.budgetUSD': 1 });
    const toast = await window.notification('more than the budget of $1.00');
    await toast.hover();
    await toast.locator('.codicon-notifications-clear').click();
    await until('it is closed', async () => (await window.page.locator('.notification-list-item', { hasText: 'more than the budget' }).count()) === 0);
    place.save('website', record(0, { id: 'more', input: 'More cost', costUSD: 2 }));
    await until('more was spent', async () => (await bar()).includes('$4') || (await bar()).includes('$3') || (await bar()).includes('$5'));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    equal(await window.page.locator('.notification-list-item', { hasText: 'more than the budget' }).count(), 0, 'warnings');
    place.settings({});
  });

  check('failed runs are not told to who has not asked for it', async () => {
    place.save('website', record(0, { id: 'untold', input: 'Not told', status: 'failed', error: 'Broke', completedAt: new Date().toISOString() }));
    await window.waitForRow('Not told');
    await new Promise((resolve) => setTimeout(resolve, 3500));
    equal(await window.page.locator('.notification-list-item', { hasText: 'failed' }).count(), 0, 'notifications');
    place.remove('website', 'untold');
  });

  check('no record can make a link in a notification', async () => {
    place.settings({ 'runlog.notifyOnFailure': true });
    const input = 'Look [here](command:x) and [there](http://127.0.0.1:9)';
    // the settings are read some time after they were written
    await until('it is told', async () => {
      place.save('website', record(0, { id: 'linking', input, status: 'failed', error: 'No [help](command:x)', completedAt: new Date().toISOString() }));
      return await window.notification('Run failed in website', 4000);
    });
    const shown = async (what) => {
      const toast = await window.notification(what);
      const said = (await toast.locator('.notification-list-item-message').textContent()).replaceAll('\u2060', '');
      ok(said.includes(input), said);
      equal(await toast.locator('.notification-list-item-message a').count(), 0, 'links');
      await toast.hover();
      await toast.locator('.codicon-notifications-clear').click();
      return said;
    };
    ok((await shown('Run failed in website')).endsWith('No [help](command:x)'), 'the error');
    await window.waitForRow(input);
    await window.pressButton(input, 'Delete', 'it has gone', async () => !(await labels()).includes(input));
    await shown('Deleted run');
    place.settings({});
  });

  check('failed runs are told together, to who wants it', async () => {
    place.settings({ 'runlog.notifyOnFailure': true });
    await new Promise((resolve) => setTimeout(resolve, 700));
    const now = new Date(Date.now() + 1000).toISOString();
    for (let number = 0; number < 4; number++) place.save('website', record(0, { id: `bad-${number}`, input: `Bad ${number}`, status: 'failed', error: 'Broke', completedAt: now }));
    const toast = await window.notification('4 runs failed');
    await toast.locator('.monaco-button', { hasText: 'Show' }).click();
    await until('just those', async () => JSON.stringify((await labels()).filter((label) => label.startsWith('Bad')).sort()) === JSON.stringify(['Bad 0', 'Bad 1', 'Bad 2', 'Bad 3']) && !(await labels()).includes('Task number 3'));
    await window.command('Runlog: Clear Filter');
    place.settings({});
  });

  check('however many have failed, there is room for their rows, and who is told of more than are shown is told that', async () => {
    place.settings({ 'runlog.notifyOnFailure': true });
    await new Promise((resolve) => setTimeout(resolve, 700));
    const now = new Date(Date.now() + 5000).toISOString();
    const tried = Date.now();
    for (let number = 0; number < 230; number++) place.save('website', record(0, { id: `exec-${tried}-many${number}`, input: `Many ${number}`, status: 'failed', error: 'Broke', completedAt: now }));
    const toast = await window.notification(/\d{2,} runs failed/);
    const told = Number(/(\d+) runs failed/.exec(await toast.textContent())[1]);
    const button = toast.locator('.monaco-button', { hasText: 'Show' });
    equal(await button.textContent(), told > 200 ? 'Show the First 200' : 'Show', `the button for ${told}`);
    await button.click();
    await until('them', async () => (await labels()).filter((label) => label.startsWith('Many')).length > 10);
    const said = await until('what is shown', async () => await window.message());
    ok(said.startsWith('id in ("exec-') && said.length < 210, said);
    await window.command('Runlog: Clear Filter');
    place.settings({});
    await window.close();
  });
}
