// What records may hold that nobody expects, and what people do while runs are saved, noted on and removed by others.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { cut, span, visible } from '../src/format.ts';
import { Place, record, top } from './place.mjs';
import { check, equal, ok } from './tap.mjs';
import { until } from './window.mjs';

/** A source of the extension, with as much of VS Code as it has need of. */
function sourceOf(name) {
  class Range {
    constructor(start, _from, end) {
      Object.assign(this, { start, end });
    }
  }
  class DocumentSymbol {
    constructor(name, detail, kind, range) {
      Object.assign(this, { name, detail, kind, range });
    }
  }
  globalThis.standIn = { Range, DocumentSymbol, SymbolKind: {} };
  const names = Object.keys(globalThis.standIn).join(', ');
  registerHooks({
    resolve(asked, context, next) {
      if (asked === 'vscode') return { url: `data:text/javascript,export const { ${names} } = globalThis.standIn;`, shortCircuit: true };
      return next(asked.startsWith('./') && !/\.\w+$/.test(asked) ? `${asked}.ts` : asked, context);
    },
  });
  return import(`../src/${name}.ts`);
}

export function unusual(code, browser) {
  const place = new Place('unusual');
  let window;
  let panel;

  /** The window of these checks, each of which has a project of its own. */
  const begin = async () => {
    if (window) return;
    place.save('first', record(5000));
    window = await browser.open('unusual', code, place.folder);
    await window.showView();
    await window.waitForRow('first');
  };
  const labels = async () => (await window.rows()).map(({ label }) => label);
  const only = async (project) => {
    // above the rows there is no place for all of a long one
    const said = cut(`project = "${project}"`, 200);
    await until('the filter', async () => {
      if ((await window.message()) === said) return true;
      await window.commandWith('Runlog: Filter Runs', `project = "${project}"`);
      await until('it is right', async () => (await window.quickItems())[0]?.startsWith('Show runs with'), 5000);
      // there, wherever the focus has gone meanwhile
      await window.page.locator('.quick-input-widget .quick-input-box input, .quick-input-widget .quick-input-filter input').first().press('Enter', { timeout: 2000 });
      return await until('it is set', async () => (await window.message()) === said, 5000);
    });
    await until('no other', async () => (await labels())[0] === project && !(await labels()).includes('first'));
  };
  const openRun = async (label) => {
    await window.settled();
    await window.select(label);
    await until(`${label} is open`, async () => (panel = await window.panel('header h1')) && (await panel.textContent('h1')) === label);
  };
  const openDashboard = async () => {
    await window.command('Runlog: Open Dashboard');
    const dashboard = await window.panel('.controls');
    await dashboard.waitForSelector('#project');
    return dashboard;
  };
  const summary = async (id) => (await place.ask('executions/list', { where: `id = ${JSON.stringify(id)}` })).executions[0];
  const annotate = (projectId, executionId, what) => place.ask('executions/annotate', { projectId, executionId, ...what });

  check('a status may be called as what all objects have', async () => {
    const names = ['constructor', 'toString', '__proto__', 'hasOwnProperty', 'unseen'];
    for (const name of names) place.save('named', record(1, { id: `named-${name}`, name: `Status ${name}`, status: name, steps: [{ nodeId: 'n', status: name }] }));
    await begin();
    for (const name of names) ok(/codicon-question/.test((await window.waitForRow(`Status ${name}`)).icon), name);
    await openRun('Status constructor');
    equal(await panel.$eval('.step .fill', ({ className }) => className), 'fill other', 'the bar of its step');
    const dashboard = await openDashboard();
    await dashboard.selectOption('#project', 'named');
    await until('the chart of all', async () => {
      const heads = await dashboard.$$eval('figure[data-chart="Runs a day"] thead th', (cells) => cells.slice(1).map((cell) => cell.textContent));
      return heads.sort().join() === [...names].sort().join();
    });
    await until('they are drawn', () => dashboard.$eval('figure canvas', ({ width, height }) => width > 0 && height > 0));
  });

  check('a key acts on the row with the focus, and on what is selected only if that is', async () => {
    for (let number = 0; number < 6; number++) place.save('keys', record(number, { id: `key-${number}`, input: `Key ${number}` }));
    await begin();
    await only('keys');
    await openRun('Key 1');
    await window.settled();
    for (const key of ['ArrowDown', 'ArrowDown']) await window.press(key);
    await window.page.keyboard.press('Delete');
    const toast = await window.notification('Deleted run');
    ok((await toast.textContent()).includes('Deleted run Key 3 · key-3.'), await toast.textContent());
    await until('it has gone', async () => !(await labels()).includes('Key 3'));
    equal((await window.rows()).filter(({ selected }) => selected).map(({ label }) => label), ['Key 1'], 'selected');
    ok(await summary('key-1'), 'the selected one is there');
    await toast.locator('.monaco-button', { hasText: 'Undo' }).click();
    await window.waitForRow('Key 3');
    await window.settled();
    await window.press('Home');
    await window.page.keyboard.press('Delete');
    await window.notification('Select a run in the view first.');
    equal((await place.ask('executions/list', { projectId: 'keys', sync: true })).total, 6, 'runs');
    // twice at once is not another run
    await window.select('Key 4');
    await window.settled();
    await window.press('ArrowDown');
    await Promise.all(['Delete', 'Delete'].map((key) => window.page.keyboard.press(key)));
    await until('it has gone', async () => !(await labels()).includes('Key 5'));
    await window.settled();
    equal((await place.ask('executions/list', { projectId: 'keys', sync: true })).executions.map(({ label }) => label), [0, 1, 2, 3, 4].map((number) => `Key ${number}`), 'runs');
    // all, wherever the focus is
    await window.press('Home');
    await window.page.keyboard.press('Control+A');
    await window.page.keyboard.press('Delete');
    const all = await window.notification('Deleted 5 runs.');
    await all.locator('.monaco-button', { hasText: 'Undo' }).click();
    await window.waitForRow('Key 4');
  });

  check('who deletes by a key goes on at the next row', async () => {
    for (let number = 0; number < 5; number++) place.save('keyed', record(number, { id: `keyed-${number}`, input: `Keyed ${number}` }));
    await begin();
    await only('keyed');
    await window.settled();
    await window.press('Home');
    for (const key of ['ArrowDown', 'ArrowDown']) await window.page.keyboard.press(key);
    const focused = () => window.text('.sidebar .tree-explorer-viewlet-tree-view .monaco-list-row.focused .label-name');
    const deleted = async (label, next) => {
      await until(`${label} has the focus`, async () => (await focused()) === label, 5000);
      await window.page.keyboard.press('Delete');
      await until('it has gone', async () => !(await labels()).includes(label));
      await until(`${next} has the focus`, async () => (await focused()) === next, 5000);
      await window.settled();
    };
    await deleted('Keyed 1', 'Keyed 2');
    await deleted('Keyed 2', 'Keyed 3');
    await window.page.keyboard.press('ArrowDown');
    await deleted('Keyed 4', 'Keyed 3');
  });

  check('a page size that is none is the default, and another one applies at once', async () => {
    await begin();
    for (let number = 0; number < 70; number++) place.save('sized', record(number, { id: `sized-${number}`, input: `Sized ${number}` }));
    await only('sized');
    await window.press('End');
    const shown = async (size, count) => {
      place.settings({ 'runlog.pageSize': size });
      await until(`${count} at ${size}`, async () => {
        await window.press('End');
        return (await window.rows()).find(({ label }) => label === 'Load more…')?.description === `${count} of 70`;
      }, 15_000);
    };
    for (const wrong of ['many', 0, -5, 2.5]) {
      await shown(20, 20);
      await shown(wrong, 50);
    }
    await window.row('Load more…').click();
    await until('the rest', async () => {
      await window.press('End');
      return (await labels()).includes('Sized 69');
    });
    place.settings({});
    await window.press('Home');
  });

  check('the command that runs again is an array, or nothing is started', async () => {
    const [trap, again] = [join(top, 'path/n'), join(top, 'again')];
    writeFileSync(trap, `#!/bin/sh\ntouch '${trap}.sprung'\n`, { mode: 0o755 });
    writeFileSync(again, '#!/bin/sh\necho first >&2\necho boom >&2\nexit 7\n', { mode: 0o755 });
    place.save('again', record(1, { id: 'again', name: 'Once more' }));
    await begin();
    await only('again');
    await openRun('Once more');
    code.machine({ 'runlog.runAgainCommand': 'node run.js' });
    await panel.click('#runAgain', { timeout: 15_000 });
    await window.notification('The setting runlog.runAgainCommand must be an array');
    ok(!existsSync(`${trap}.sprung`), 'nothing was started');
    code.machine({ 'runlog.runAgainCommand': [again] });
    await until('what it said last', async () => {
      await panel.click('#runAgain');
      return await window.notification('again could not run it again: it ended with status 7: boom', 3000);
    });
    code.machine({});
  });

  check('what is selected stays while an output grows', async () => {
    const growing = (lines, more) => record(1, { id: 'growing', name: 'Grows', status: 'running', completedAt: undefined, duration: undefined, output: Array.from({ length: lines }, (_, line) => `line ${line}\n`).join(''), ...more });
    place.save('growing', growing(20));
    await begin();
    await only('growing');
    await openRun('Grows');
    const selected = () => panel.evaluate(() => getSelection().toString());
    await panel.$eval('[data-pointer="/output"] pre', (pre) => getSelection().setBaseAndExtent(pre.firstChild, 7, pre.firstChild, 20));
    const before = await selected();
    equal(before, 'line 1\nline 2', 'what is selected');
    place.save('growing', growing(40));
    await until('more of it', async () => (await panel.textContent('[data-pointer="/output"] pre')).includes('line 39'));
    equal(await selected(), before, 'what is selected');
    const live = () => panel.textContent('#live');
    equal(await live(), 'Run Grows, running', 'what a screen reader is told');
    place.save('growing', growing(41, { status: 'completed', completedAt: new Date().toISOString() }));
    await until('a screen reader is told of its end', async () => (await live()) === 'Run Grows, completed', 5000);
    equal(await selected(), before, 'what is selected');
  });

  check('a run that is saved while somebody reads it: nothing of how it is read is lost', async () => {
    const steps = Array.from({ length: 500 }, (_, step) => ({ id: `s${step}`, nodeId: `node-${step}`, status: 'completed', duration: 5, input: `# In ${step}`, output: `out ${step}` }));
    const live = (more) => record(1, { id: 'live', name: 'Goes on', status: 'running', completedAt: undefined, duration: undefined, input: '# Task\n\n**do** it', output: 'a line of much output\n'.repeat(50_000), steps, ...more });
    place.save('live', live());
    await begin();
    await only('live');
    await openRun('Goes on');
    const length = () => panel.$eval('[data-pointer="/output"] pre', (pre) => pre.textContent.length);
    await panel.click('[data-pointer="/input"] .modes button >> text=Text');
    const given = await length();
    await panel.click('[data-pointer="/output"] .foot button');
    await until('more of the output', async () => (await length()) > given);
    await panel.$eval('[data-pointer="/output"] pre', (pre) => (pre.scrollTop = 700));
    await panel.click('.timeline .foot button');
    await until('more steps', async () => (await panel.$$eval('.step', (found) => found.length)) === 400);
    await panel.click('.step >> nth=350');
    await panel.click('#step-350 [data-pointer="/steps/350/input"] .modes button >> text=Text');
    await panel.focus('.step >> nth=350');
    const seen = () => panel.evaluate(() => ({
      steps: document.querySelectorAll('.step').length, open: document.querySelector('#step-350').textContent, top: Math.round(document.querySelector('#step-350').getBoundingClientRect().top),
      modes: [...document.querySelectorAll('[aria-pressed=true]')].map((button) => button.textContent), output: document.querySelector('[data-pointer="/output"] pre').textContent.length,
      scrolled: document.querySelector('[data-pointer="/output"] pre').scrollTop, focused: document.activeElement.textContent,
    }));
    const before = await seen();
    ok(before.open.includes('# In 350') && before.scrolled === 700 && before.focused.includes('node-350'), JSON.stringify(before));
    place.save('live', live({ costUSD: 0.0211, steps: [...steps, { id: 'last', nodeId: 'one more', status: 'running' }] }));
    await until('the new version', async () => (await panel.textContent('.timeline h2')).includes('501') && (await panel.textContent('.facts')).includes('$0.0211'));
    equal(await seen(), before, 'what is seen');
    const output = `${'another line of output\n'.repeat(50_000)}`;
    place.save('live', live({ costUSD: 0.0212, output }));
    await until('another output', async () => output.startsWith(await panel.textContent('[data-pointer="/output"] pre')));
    equal(await seen(), before, 'what is seen');
    // who has opened a step by a key goes on there
    await window.page.keyboard.press('Enter');
    await until('it is closed', async () => (await panel.textContent('#step-350')) === '');
    // a megabyte that is laid out again each second leaves little to what comes next
    await window.page.keyboard.press('Control+F4');
  });

  check('tags: what is not touched stays, one with a comma too', async () => {
    place.save('tagged', record(1, { id: 'tagged', name: 'Has tags' }));
    await begin();
    await only('tagged');
    await annotate('tagged', 'tagged', { tags: ['a, b', 'c'] });
    await openRun('Has tags');
    const box = window.page.locator('.quick-input-widget .quick-input-box input').first();
    const typed = async (text) => {
      const { tags } = await summary('tagged');
      await until('the box shows them', async () => {
        await panel.click('#tag', { timeout: 5000 });
        return await until('them', async () => (await box.isVisible()) && (await box.inputValue()) === tags.join(', '), 5000);
      });
      if (text !== undefined) await window.type(text);
      await window.page.keyboard.press('Enter');
      await box.waitFor({ state: 'hidden' });
    };
    const tags = (wanted) => until(JSON.stringify(wanted), async () => JSON.stringify((await summary('tagged')).tags) === JSON.stringify(wanted), 10_000);
    await typed();
    await typed('b, a, c,  d ,');
    await tags(['a, b', 'c', 'd']);
    await typed('b, d');
    await tags(['a, b', 'd']);
    await typed('d');
    await tags(['d']);
  });

  check('a note of several lines is edited as lines', async () => {
    place.save('noted', record(1, { id: 'noted', name: 'Has a note' }));
    await begin();
    await only('noted');
    const note = (wanted) => until(`the note ${wanted}`, async () => (await summary('noted')).note === wanted, 10_000);
    await annotate('noted', 'noted', { note: 'first line\nsecond line' });
    await openRun('Has a note');
    const lines = () => window.page.$$eval('.editor-instance .view-lines .view-line', (rows) => rows.map((row) => row.textContent.replaceAll('\u00a0', ' ')));
    /** Presses the panel's button until that is there: a press is lost while the panel is drawn anew. */
    const noteOpens = (what, there) => until(what, async () => {
      await panel.click('#note', { timeout: 5000 });
      return await until(what, there, 5000);
    });
    await noteOpens('its lines', async () => (await lines()).join() === 'first line,second line');
    await window.page.locator('.editor-instance .view-lines').click();
    for (const key of ['Control+End', 'Enter']) await window.page.keyboard.press(key);
    await window.page.keyboard.type('third');
    await window.page.keyboard.press('Control+S');
    await note('first line\nsecond line\nthird');
    // what somebody else writes is shown
    await annotate('noted', 'noted', { note: 'just one' });
    await until('the other note', async () => (await lines()).join() === 'just one');
    await window.page.keyboard.press('Control+F4');
    await openRun('Has a note');
    const box = window.page.locator('.quick-input-widget .quick-input-box input').first();
    await noteOpens('one line in a box, whose button', async () => {
      if ((await box.inputValue()) !== 'just one') return false;
      await box.fill('just one, and more');
      await window.page.locator('.quick-input-widget .codicon-go-to-file').click({ timeout: 5000 });
      return true;
    });
    await until('which leads to the editor, with what was typed', async () => (await lines()).join() === 'just one, and more');
    await window.page.keyboard.press('Control+S');
    await note('just one, and more');
    await window.page.keyboard.press('Control+F4');
    await annotate('noted', 'noted', { note: 'just one' });
    // nor is it written over by what is typed meanwhile
    await openRun('Has a note');
    await noteOpens('the box', async () => (await box.inputValue()) === 'just one');
    await annotate('noted', 'noted', { note: 'theirs' });
    await box.fill('mine');
    await box.press('Enter');
    const said = (text) => until(text, async () => (await window.text('.quick-input-widget .quick-input-message')).includes(text));
    await said('Somebody else has changed the note; Enter writes yours in its place. Theirs: theirs');
    equal(await box.inputValue(), 'mine', 'what was typed');
    await note('theirs');
    await box.press('Enter');
    await note('mine');
    await box.waitFor({ state: 'hidden' });
  });

  check('a note that cannot be written is not lost', async () => {
    equal(/const NOTE_MAX_CHARS: usize = (\d+);/.exec(readFileSync(new URL('../../../src/model/annotation.rs', import.meta.url), 'utf8'))?.[1], '2000', 'characters of a note');
    place.save('lost', record(1, { id: 'lost', name: 'Loses its note' }));
    await begin();
    await only('lost');
    await openRun('Loses its note');
    const box = window.page.locator('.quick-input-widget .quick-input-box input').first();
    const said = (text) => until(text, async () => (await window.text('.quick-input-widget .quick-input-message')).includes(text));
    await window.typeInto(() => panel.click('#note', { timeout: 5000 }), '𝛑'.repeat(2001));
    await said('These are 2,001 characters; 2,000 are possible.');
    await box.press('Enter');
    ok(await box.isVisible(), 'the box stays');
    await box.fill('written in vain');
    await said('2,000 characters at most');
    place.remove('lost', 'lost');
    await until('it has gone', async () => (await summary('lost')) === undefined);
    await box.press('Enter');
    await said('It is not written.');
    equal(await box.inputValue(), 'written in vain', 'what was typed');
    await window.page.keyboard.press('Escape');
    await box.waitFor({ state: 'hidden' });
    // nor in an editor
    place.save('lost', record(1, { id: 'lost', name: 'Loses its note' }));
    await until('it is there again', async () => (await summary('lost')) !== undefined);
    await annotate('lost', 'lost', { note: 'two\nlines' });
    await openRun('Loses its note');
    await until('its lines', async () => {
      await panel.click('#note', { timeout: 5000 });
      return await until('them', async () => (await window.text('.editor-instance .view-lines')).includes('lines'), 5000);
    });
    place.remove('lost', 'lost');
    await until('its tab is marked', async () => (await window.page.locator('.tab.active .monaco-icon-label.strikethrough, .tab.active .monaco-icon-label-container.strikethrough, .tab.active .strikethrough').count()) > 0, 10_000);
    await window.page.locator('.editor-instance .view-lines').click();
    await window.page.keyboard.type('more ');
    await window.page.keyboard.press('Control+S');
    const toast = await window.notification('no execution lost');
    ok(!(await toast.textContent()).includes('Unavailable'), await toast.textContent());
    ok((await window.text('.editor-instance .view-lines')).replaceAll('\u00a0', ' ').includes('more '), 'what was typed');
    await window.command('View: Revert and Close Editor');
  });

  check('a value of several megabytes that is no text comes whole, and its next version, too', async () => {
    const wide = (word) => record(1, { id: 'wide', name: 'Wide', output: Array.from({ length: 900 }, () => `${word} `.repeat(1700)) });
    place.save('wide', wide('first'));
    await begin();
    await only('wide');
    await openRun('Wide');
    const length = () => panel.$eval('[data-pointer="/output"] pre', (pre) => pre.textContent.length);
    for (let times = 0; times < 3; times++) {
      const before = await length();
      await panel.click('[data-pointer="/output"] .foot button');
      await until('more of it', async () => (await length()) > before);
    }
    equal(await panel.textContent('[data-pointer="/output"] .foot'), '', 'what is left');
    place.save('wide', wide('other'));
    await until('the next version', async () => panel.$eval('[data-pointer="/output"] pre', (pre) => pre.textContent.slice(0, 100).includes('other')));
    await window.page.keyboard.press('Control+F4');
  });

  check('what acts on a terminal is shown for what it is, as the program itself shows it', () => {
    const [set] = /fn acts\([^]*?\n}/.exec(readFileSync(new URL('../../../src/cli/terminal.rs', import.meta.url), 'utf8'));
    let acting = 0;
    for (const [, first, last = first] of set.matchAll(/'\\u\{(\w+)\}'(?:\.\.='\\u\{(\w+)\}')?/g)) {
      for (let code = parseInt(first, 16); code <= parseInt(last, 16); code++, acting++) {
        equal(visible(`a${String.fromCodePoint(code)}b`), `a<${code.toString(16).padStart(4, '0')}>b`, 'it');
      }
    }
    ok(acting > 100, 'the list is spelt another way');
  });

  check('a span that no number tells is ages, as the program itself says', () => {
    equal([1e300, 3e16 + 1e3, 3_723_000].map(span), ['ages', 'ages', '1h 02m'], 'spans');
    equal([59_949, 59_999, 60_000].map(span), ['59.9s', '59.9s', '1m 00s'], 'spans of a minute');
  });

  check('the outline of a document points to its lines, whatever lines a status or a type has', async () => {
    const { Renderer } = await sourceOf('render');
    const odd = { nodeId: 'one', nodeType: 'agent\nof\u2028two', status: 'ok\n\u202e', output: 'Out' };
    const { text, symbols } = new Renderer().record({ status: 'a\nb', steps: [odd, { nodeId: 'next', output: 'Last' }] }, 'Run', []);
    const lines = text.split('\n');
    for (const { name, detail, range } of symbols) {
      ok(lines[range.start].startsWith(name), `${name} is at ${lines[range.start]}`);
      ok(!/[\n\u2028\u202e]/.test(detail), `${name} has ${JSON.stringify(detail)} beside it`);
    }
    equal(lines[symbols[1].range.start], 'Step 1: one · agent of two · ok <202e>', 'the first step');
    equal(lines[symbols[2].range.end], '    Last', 'the end of the second');
  });

  check('no name turns round what stands beside it, or hides', async () => {
    const name = '\u202egnp.exe \u200b\u0007x';
    const shown = '<202e>gnp.exe <200b>␇x';
    place.save('turned', record(1, { id: 'turned', name, output: 'a quagga \u202e\u200bx', input: { '\u202ea': '**\u202eb**' }, error: '# \u202ec', model: '\u202eledom', steps: [{ nodeId: '\u202eedon', status: '\u202esutats' }] }));
    place.save('turned', record(2, { id: 'straight', name: 'As it is' }));
    await until('it is indexed', async () => (await place.ask('executions/search', { query: 'quagga', sync: true })).hits.length === 1);
    await begin();
    await only('turned');
    await window.waitForRow(shown);
    ok((await window.row(shown).getAttribute('aria-label')).startsWith(shown), 'what is read out');
    await window.commandWith('Runlog: Search in Runs', 'quagga');
    await until('the hit', async () => (await window.quickItems()).some((item) => item.startsWith(shown)));
    await window.page.keyboard.press('Escape');
    await openRun(shown);
    ok((await panel.textContent('.facts')).includes('<202e>ledom'), 'the model');
    equal(await panel.textContent('[data-pointer="/output"] pre'), 'a quagga <202e><200b>x', 'a text');
    equal((await panel.textContent('[data-pointer="/input"] pre')).replace(/\s/g, ''), '{"<202e>a":"**<202e>b**"}', 'JSON');
    equal(await panel.textContent('[data-pointer="/error"] h1'), '<202e>c', 'Markdown');
    const step = await panel.textContent('.step');
    ok(step.includes('<202e>edon') && step.includes('<202e>sutats'), step);
    equal(await panel.$$eval('h1, .facts dd, .step .called, .step .badge', (parts) => [...new Set(parts.map((part) => getComputedStyle(part).unicodeBidi))]), ['isolate'], 'what stands beside others');
    await until('the tab', async () => (await window.text('.tabs-container .tab')).includes(shown));
    await window.pressButton(shown, 'Delete', 'it has gone', async () => !(await labels()).includes(shown));
    await window.notification(`Deleted run ${shown}`);
  });

  check('a name from right to left leaves the cost and the age beside it as they are', async () => {
    const name = 'תקריר של הריצה';
    place.save('rtl', record(2, { id: 'rtl', name, costUSD: 12.34 }));
    await begin();
    await only('rtl');
    await window.waitForRow(name);
    const [label, cost, age] = await window.row(name).evaluate((row) => {
      const of = (part, text) => {
        const node = document.createTreeWalker(row.querySelector(part), NodeFilter.SHOW_TEXT).nextNode();
        const range = document.createRange();
        range.setStart(node, node.data.indexOf(text));
        range.setEnd(node, node.data.indexOf(text) + text.length);
        const { left, right } = range.getBoundingClientRect();
        return { left, right };
      };
      return [row.querySelector('.label-name').getBoundingClientRect(), of('.label-description', '$12.34'), of('.label-description', 'ago')];
    });
    ok(label.right <= cost.left && cost.right <= age.left, JSON.stringify([label, cost, age]));
  });

  check('dashboard: an empty day leads nowhere', async () => {
    place.save('days', record(1, { id: 'today', name: 'Of today', duration: 5000 }));
    await begin();
    const dashboard = await openDashboard();
    await dashboard.selectOption('#project', 'days');
    await until('the project', async () => (await dashboard.textContent('[data-tile=Runs]')) === '1');
    const chart = dashboard.locator('figure[data-chart="Duration"] .chart');
    for (const key of ['End', 'Enter']) await chart.press(key);
    await until('the filter', async () => (await window.message()).endsWith('duration >= 5000ms'));
    for (const key of ['Home', 'Enter']) await chart.press(key);
    // what is said after it is heard after it
    await dashboard.selectOption('#range', '7d');
    await until('a week', async () => (await dashboard.$$('figure[data-chart="Duration"] tbody tr')).length === 7);
    await window.settled();
    ok((await window.message()).endsWith('duration >= 5000ms') && (await labels()).includes('Of today'), `${await window.message()}: ${await labels()}`);
    await dashboard.selectOption('#range', '30d');
    await window.command('Runlog: Clear Filter');
  });

  check('undo is offered of what the trash has', async () => {
    for (const id of ['removed', 'trashed']) place.save('gone', record(1, { id, name: `To be ${id}`, output: 'What it said' }));
    await begin();
    await only('gone');
    await openRun('To be removed');
    place.remove('gone', 'removed');
    const gone = async () => (await (panel = await window.panel('.gone')).textContent('.gone')).trim();
    await until('it is not there', async () => (await gone()) === 'It is not there any more.', 10_000);
    ok((await panel.textContent('main')).includes('What it said'), 'what was shown of it stays');
    equal(await panel.$$eval('.toolbar', ({ length }) => length), 0, 'nothing can be done with it');
    await openRun('To be trashed');
    await place.ask('executions/delete', { projectId: 'gone', executionId: 'trashed' });
    await until('it is deleted', async () => (await gone()).startsWith('This run was deleted.'));
    await panel.click('#undoDelete');
    await until('it is there again', async () => (await panel.$('.gone')) === null && (await panel.textContent('h1')) === 'To be trashed');
    // by keys alone
    await panel.focus('#delete');
    await window.page.keyboard.press('Enter');
    const active = (id) => until(`${id} has the focus`, () => panel.evaluate((id) => document.activeElement.id === id, id), 10_000);
    await active('undoDelete');
    equal(await panel.textContent('#live'), 'This run was deleted.', 'what a screen reader is told');
    await window.page.keyboard.press('Enter');
    await active('delete');
    equal(await panel.textContent('#live'), 'Run To be trashed, completed', 'what a screen reader is told');
  });

  check('a run that is open turns stale, and its running step takes longer', async () => {
    const startedAt = new Date(Date.now() - 3_500_000).toISOString();
    const silent = (more) => record(1, { id: 'silent', name: 'Falls silent', status: 'running', startedAt, completedAt: undefined, duration: undefined, steps: [{ nodeId: 'n', status: 'running', startedAt }], ...more });
    place.save('silent', silent());
    await begin();
    await only('silent');
    await openRun('Falls silent');
    // so that it is silent for an hour soon
    place.save('silent', silent({ costUSD: 0.0211 }), new Date(Date.now() - 3_600_000 + 15_000));
    const [, title, time] = await until('it is shown', async () => {
      const texts = await panel.evaluate(() => ['.facts', '.title', '.step-time'].map((part) => document.querySelector(part).textContent));
      return texts[0].includes('$0.0211') && texts;
    });
    ok(!title.includes('stale'), 'it is not stale yet');
    await until('it is', async () => (await panel.textContent('.title')).includes('stale'), 80_000);
    await until('time goes on', async () => (await panel.textContent('.step-time')) !== time, 60_000);
  });

  check('amounts below nothing, and steps that are no list', async () => {
    place.save('amounts', record(1, { id: 'below', name: 'Below nothing', costUSD: -1.5, steps: { only: 'one' } }));
    await begin();
    await only('amounts');
    ok((await window.waitForRow('Below nothing')).description.startsWith('-$1.50'), 'the cost');
    await openRun('Below nothing');
    ok((await panel.textContent('.facts')).includes('-$1.50'), 'the cost in the panel');
    ok((await panel.textContent('[data-pointer="/steps"]')).includes('"only": "one"'), 'what steps are');
  });

  check('narrow panels: a status has its sign, and nothing is out of sight', async () => {
    const project = `narrow-${'long-name-'.repeat(20)}`;
    const status = 'failed';
    place.save(project, record(1, {
      id: 'narrow', name: 'In a narrow panel', costUSD: 2481.85824286, status, error: 'Timeout of 30 s while reading https://example.com/page/17',
      steps: [{ nodeId: 'n', nodeType: 'subagent', status, startedAt: new Date().toISOString(), duration: 37_000_000 }],
    }));
    await begin();
    await only(project);
    await openRun('In a narrow panel');
    const { width, height } = window.page.viewportSize();
    try {
      await window.page.setViewportSize({ width: 640, height });
      const fits = (frame) => frame.evaluate(() => innerWidth < 340 && document.documentElement.scrollWidth <= innerWidth);
      await until('the run fits', () => fits(panel), 10_000);
      const [sign, text] = await panel.$eval('.step .badge', (badge) => [badge.firstElementChild.getBoundingClientRect().width, badge.textContent]);
      ok(sign > 4 && text.includes('✗') && text.includes('failed'), `${text}, ${sign} wide`);
      const dashboard = await openDashboard();
      await dashboard.selectOption('#project', project);
      await until('the project', async () => (await dashboard.textContent('[data-tile=Cost]')).startsWith('$2,481'));
      await until('the dashboard fits', () => fits(dashboard), 10_000);
      equal(await dashboard.$$eval('select', (boxes) => boxes.filter((box) => box.getBoundingClientRect().right > innerWidth).length), 0, 'choices out of sight');
      equal(await dashboard.$eval('[data-tile=Cost]', (tile) => [tile.textContent, tile.title]), ['$2,481.86', '$2,481.85824286'], 'the cost');
      equal(await dashboard.$$eval('.tile', (tiles) => tiles.filter((tile) => tile.scrollWidth > tile.clientWidth).length), 0, 'tiles that are too small');
    } finally {
      await window.page.setViewportSize({ width, height });
    }
  });

  check('a text of brackets only is shown at once', async () => {
    place.save('brackets', record(1, { id: 'before', name: 'Before it' }));
    place.save('brackets', record(2, { id: 'brackets', name: 'Only brackets', output: '['.repeat(190_000) }));
    await begin();
    await only('brackets');
    await openRun('Before it');
    await panel.evaluate(() => {
      globalThis.longest = 0;
      new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => (globalThis.longest = Math.max(globalThis.longest, duration)))).observe({ type: 'longtask' });
    });
    await openRun('Only brackets');
    await until('it is shown', async () => (await panel.textContent('[data-pointer="/output"] pre')).length === 190_000);
    const longest = await until('how long it took', () => panel.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(globalThis.longest + 1), 100))));
    ok(longest < 1500, `${longest} ms`);
    await window.close();
  });
}
