// What the view says where there is nothing to list, and how it lives through the daemon's end.
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bridges, daemons, Place, record, RUNLOG, top } from './place.mjs';
import { check, equal, ok } from './tap.mjs';
import { until } from './window.mjs';

export function states(code, careful, browser) {
  const welcome = (window) => window.text('.sidebar .welcome-view-content, .sidebar .pane-body .welcome-view');
  const labels = async (window) => (await window.rows()).map(({ label }) => label);
  const installed = () => join(top, 'extensions', readdirSync(join(top, 'extensions')).find((name) => name.startsWith('runlog.')));
  /** Whether the view shows the runs of its only project as the daemon lists them, from the first to the last. */
  const same = async (window, place, project, count) => {
    const { executions } = await place.ask('executions/list', { projectId: project, limit: 1000, sync: true });
    equal(executions.length, count, 'listed runs');
    const shown = (await window.allRows(count + 1)).slice(1).map(({ label, icon }) => [label, /codicon-error/.test(icon)]);
    const listed = executions.map(({ label, status }) => [label, status === 'failed']);
    const other = listed.findIndex((row, at) => JSON.stringify(row) !== JSON.stringify(shown[at]));
    if (other >= 0) throw new Error(`run ${other + 1} is ${shown[other]} and should be ${listed[other]}`);
    return true;
  };

  /** A window on a workspace of these folders below `parent`, of whose first the view shows a run. */
  const openBoth = async (parent, names) => {
    const file = join(top, parent, 'both.code-workspace');
    const folders = names.map((path) => ({ path }));
    writeFileSync(file, JSON.stringify({ folders }));
    const window = await browser.open('states', code, file);
    await window.showView();
    await until('the folders of the workspace', async () => {
      if (await window.waitForRow('Of the first', 10_000).catch(() => undefined)) return true;
      // a busy VS Code may take a workspace that it could not read in time for an empty one, until the file changes
      writeFileSync(file, JSON.stringify({ folders, settings: { 'editor.rulers': [Date.now() % 100] } }));
      return false;
    });
    return window;
  };

  check('the daemon is killed during 100 saves: the view equals the list, one daemon is left', async () => {
    const place = new Place('killed');
    place.settings({ 'runlog.pageSize': 200 });
    place.save('website', record(0));
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('Task number 0');
    const killed = new Set();
    for (let number = 1; number <= 100; number++) {
      place.save('website', record(number % 10 === 0 ? -number : number));
      if (number % 25 === 0) {
        await until('a daemon', () => daemons(place.root).length > 0);
        for (const pid of daemons(place.root)) {
          killed.add(pid);
          process.kill(pid, 'SIGKILL');
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    ok(killed.size >= 4, `${killed.size} were killed`);
    await until('the view equals the list', () => same(window, place, 'website', 101));
    place.save('website', record(-200, { input: 'After it all' }));
    await window.waitForRow('After it all');
    equal(daemons(place.root).length, 1, 'daemons');
    // and the process that this window talks to
    const talking = bridges(place.root);
    ok(talking.length > 0, 'the window has a process');
    for (const pid of talking) process.kill(pid, 'SIGKILL');
    place.save('website', record(-300, { input: 'After that, too' }));
    await window.waitForRow('After that, too');
    equal(daemons(place.root).length, 1, 'daemons');
    await window.close();
  });

  check('no daemon: the view says so and goes on when there is one; a workspace cannot name a program', async () => {
    const place = new Place('missing');
    const trap = join(top, 'trap');
    writeFileSync(trap, `#!/bin/sh\ntouch ${trap}.sprung\n`, { mode: 0o755 });
    place.settings({ 'runlog.path': trap, 'runlog.runAgainCommand': [trap] });
    place.save('website', record(0));
    code.machine({ 'runlog.path': '/nowhere/runlog' });
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('There is no program /nowhere/runlog.');
    await window.waitForRow('Set its path…');
    writeFileSync(join(top, 'plain'), 'no program\n');
    code.machine({ 'runlog.path': join(top, 'plain') });
    await window.waitForRow(`${join(top, 'plain')} is not executable.`);
    code.machine({});
    await window.waitForRow('Task number 0');
    ok(!existsSync(`${trap}.sprung`), 'the program that the workspace names was not run');
    await window.close();
  });

  check('the path of the program may begin with ~/', async () => {
    const place = new Place('athome');
    place.save('website', record(0));
    mkdirSync(join(top, 'home/bin'));
    symlinkSync(RUNLOG, join(top, 'home/bin/runlog'));
    code.machine({ 'runlog.path': '~/bin/runlog' });
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('Task number 0', 15_000);
    await window.close();
    code.machine({});
  });

  check('no daemon in the settings or in the package: the one on the PATH', async () => {
    const place = new Place('onpath');
    place.save('website', record(0));
    const bundled = join(installed(), 'bin/runlog');
    renameSync(bundled, `${bundled}.away`);
    try {
      const window = await browser.open('states', code, place.folder);
      await window.showView();
      await window.waitForRow('Task number 0');
      const [pid] = bridges(place.root);
      equal(readlinkSync(`/proc/${pid}/exe`), RUNLOG, 'the program');
      await window.close();
    } finally {
      renameSync(`${bundled}.away`, bundled);
    }
  });

  check('the package asks for a VS Code whose Node spells numbers, and is compiled against that one', () => {
    const { engines, devDependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    // src/json.ts
    ok(Number(/^\^1\.(\d+)\.0$/.exec(engines.vscode)?.[1]) >= 101, engines.vscode);
    equal(`^${devDependencies['@types/vscode']}`, engines.vscode, 'the types');
  });

  check('the package has the licences', () => {
    for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) ok(existsSync(join(installed(), name)), name);
  });

  check('a program that is no daemon: the view says so, and why', async () => {
    const place = new Place('broken');
    place.save('website', record(0));
    const broken = join(top, 'broken-runlog');
    const root = JSON.stringify({ root: place.root, exists: true, tried: [], candidates: [] });
    writeFileSync(broken, `#!/bin/sh\n[ "$1" = root ] && { echo '${root}'; exit; }\necho 'this will not do' >&2\nexit 7\n`, { mode: 0o755 });
    code.machine({ 'runlog.path': broken });
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow(`${broken} ended with status 7: this will not do`);
    for (const label of ['Set its path…', 'Try again', 'Show the log']) await window.waitForRow(label);
    // it is tried again, and fails for another reason then
    writeFileSync(broken, readFileSync(broken, 'utf8').replace('this will not do', 'nor will this'));
    await window.waitForRow(`${broken} ended with status 7: nor will this`, 30_000);
    code.machine({});
    await window.waitForRow('Task number 0');
    await window.close();
  });

  check('a program that says nothing more and hears no signal is replaced', async () => {
    const place = new Place('deaf');
    place.save('website', record(0));
    const deaf = join(top, 'deaf-runlog');
    writeFileSync(deaf, `#!/bin/sh\n[ "$1" = root ] && exec '${RUNLOG}' "$@"\ntrap '' TERM\nexec sleep 1000 >&-\n`, { mode: 0o755 });
    code.machine({ 'runlog.path': deaf });
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow(`${deaf} ended with SIGKILL`);
    code.machine({});
    await window.waitForRow('Task number 0');
    await window.close();
  });

  check('the setting of the folders may be one, without brackets', async () => {
    const place = new Place('single');
    const elsewhere = new Place('single-elsewhere', join(top, 'other'));
    elsewhere.save('apart', record(0, { input: 'Of the one' }));
    place.settings({ 'runlog.projects': elsewhere.root });
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('Of the one', 15_000);
    await window.close();
  });

  check('a program that tells no root: the view says what it said', async () => {
    const place = new Place('rootless');
    place.save('website', record(0));
    const other = join(top, 'other-program');
    writeFileSync(other, '#!/bin/sh\necho {}\n', { mode: 0o755 });
    code.machine({ 'runlog.path': other });
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow(`${other} does not say which folder it serves: {}`, 15_000);
    writeFileSync(other, "#!/bin/sh\necho 'runlog: cannot start: disk on fire' >&2\nexit 3\n");
    await window.row('Try again').click();
    await window.waitForRow(`${other} does not say which folder it serves: runlog: cannot start: disk on fire`, 15_000);
    ok(!(await labels(window)).includes('Choose folder…'), 'no folder helps');
    await window.close();
    code.machine({});
  });

  check('a row that cannot be laid out leaves the others', async () => {
    const place = new Place('strange');
    place.save('website', record(0, { id: 'strange', costUSD: 0.0417 }));
    place.save('website', record(1));
    const strange = join(top, 'strange-runlog');
    const change = 'process.stdin.on("data", (part) => process.stdout.write(part.toString("latin1").replaceAll("\\"costUSD\\":0.0417", "\\"costUSD\\":\\"abcd\\""), "latin1"))';
    writeFileSync(strange, `#!/bin/sh\n[ "$1" = serve ] || exec '${RUNLOG}' "$@"\n'${RUNLOG}' "$@" | '${process.execPath}' -e '${change}'\n`, { mode: 0o755 });
    code.machine({ 'runlog.path': strange });
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('Task number 1', 15_000);
    ok(/codicon-error/.test((await window.waitForRow('strange')).icon), 'the row that cannot');
    await window.close();
    code.machine({});
  });

  check('no root: the places tried and "Choose folder", then the first run', async () => {
    const place = new Place('empty');
    const elsewhere = new Place('elsewhere', join(top, 'other'));
    elsewhere.save('apart', record(0, { input: 'Somewhere else' }));
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('No runs were found');
    ok((await labels(window)).some((label) => label.startsWith(place.root) || label.startsWith(`${place.folder} and`)), `the places: ${await labels(window)}`);
    equal([daemons(place.root), bridges(place.root)], [[], []], 'processes');
    await window.row('Choose folder…').click();
    // the dialog writes its own path first
    await until('the dialog', async () => (await window.quickItems()).some((item) => item.startsWith('.git')));
    await window.type(`${elsewhere.root}/`);
    await until('the folder is looked into', async () => (await window.quickItems()).some((item) => item.startsWith('apart')));
    await window.page.locator('.quick-input-widget .monaco-button', { hasText: 'Show Its Runs' }).click();
    await window.waitForRow('Somewhere else');
    rmSync(join(place.folder, '.vscode'), { recursive: true });
    await window.waitForRow('No runs were found');
    place.save('website', record(0, { input: 'The first one' }));
    await window.waitForRow('The first one');
    await window.close();
  });

  check('no root: one that a file names later is found by looking again', async () => {
    const place = new Place('named');
    place.root = join(place.folder, 'kept');
    place.save('website', record(0, { input: 'Named later' }));
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('No runs were found');
    writeFileSync(join(place.folder, 'runlog.toml'), 'projects = "kept"\n');
    await until('it is found', async () => {
      await window.row('Look again').click({ timeout: 5000 });
      return await window.waitForRow('Named later', 5000);
    }, 20_000);
    await window.close();
  });

  check('a root that goes while it is shown is looked for, and shown when it is there again', async () => {
    const place = new Place('vanishing');
    place.save('website', record(0));
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('Task number 0');
    rmSync(place.root, { recursive: true });
    await window.waitForRow('No runs were found', 15_000);
    place.save('website', record(0, { input: 'There again' }));
    await window.waitForRow('There again', 15_000);
    await window.close();
  });

  check('of more projects than are listed with a filter it is said', async () => {
    const place = new Place('crowd');
    for (let number = 0; number < 1005; number++) place.save(`p${number}`, record(0));
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('Task number 0');
    await window.commandWith('Runlog: Filter Runs', 'status = completed');
    await until('it is right', async () => (await window.quickItems())[0]?.startsWith('Show runs with'));
    await window.page.keyboard.press('Enter');
    await until('it is said', async () => (await window.message()) === 'status = completed · not shown: 5 more projects', 15_000);
    await window.close();
  });

  check('an empty root says that runs appear by themselves, and they do', async () => {
    const place = new Place('quiet');
    mkdirSync(join(place.root, 'website/executions'), { recursive: true });
    const window = await browser.open('states', code, place.folder);
    const filter = async (text) => {
      await window.commandWith('Runlog: Filter Runs', text);
      await until('it is right', async () => (await window.quickItems())[0]?.startsWith('Show runs with'));
      await window.page.keyboard.press('Enter');
    };
    await window.showView();
    await until('what to expect', async () => (await welcome(window)).includes('No runs yet'));
    place.save('website', record(0));
    await window.waitForRow('Task number 0');
    await filter('status = paused');
    await until('that nothing passes', async () => (await welcome(window)).includes('No run passes the filter'));
    await window.page.locator('.sidebar .welcome-view .monaco-button', { hasText: 'Clear Filter' }).click();
    await window.waitForRow('Task number 0');
    // and the last one that passes goes by itself
    await filter('status = completed');
    await until('the filter', async () => (await window.message()) === 'status = completed');
    await window.settled();
    place.remove('website', 'exec-0000');
    await until('that nothing passes', async () => (await welcome(window)).includes('No run passes the filter'), 10_000);
    await window.close();
  });

  check('two roots: a node and a connection each', async () => {
    const [first, second] = [new Place('alpha', join(top, 'two')), new Place('beta', join(top, 'two'))];
    first.save('website', record(0, { input: 'Of the first' }));
    second.save('docs', record(0, { input: 'Of the second', costUSD: 0.5 }));
    const window = await openBoth('two', ['alpha', 'beta']);
    await window.waitForRow('Of the second');
    const rows = await labels(window);
    equal(rows, ['alpha', 'website', 'Of the first', 'beta', 'docs', 'Of the second'], 'rows');
    second.save('docs', record(0, { id: 'later', input: 'Live in the second' }));
    await window.waitForRow('Live in the second');
    await until('each cost by itself', async () => /alpha \$0\.01.*beta \$0\.51/s.test(await window.text('.statusbar-item[id*="runlog.today"]')));
    equal([daemons(first.root).length, daemons(second.root).length], [1, 1], 'daemons');
    await window.close();
  });

  /** That the filter box and the dashboard serve who has only the second of two roots, whose folder is `name`. */
  const othersServe = async (window, root, name) => {
    await window.commandWith('Runlog: Filter Runs', 'costUDS > 1');
    await until('a mistake', async () => (await window.quickItems()).some((text) => text.includes('Did you mean costUSD?')), 10_000);
    await window.page.keyboard.press('Escape');
    await window.command('Runlog: Open Dashboard');
    const dashboard = await window.panel('.controls');
    equal(await dashboard.$$eval('#root option', (options) => options.map(({ textContent }) => textContent)), ['alpha', name], 'roots');
    await dashboard.selectOption('#root', root);
    await until('its runs', async () => Number(await dashboard.textContent('[data-tile=Runs]')) > 0, 15_000);
    return dashboard;
  };

  check('two roots: one whose daemon does not answer keeps nothing from the other', async () => {
    const [first, second] = [new Place('alpha', join(top, 'hung')), new Place('beta', join(top, 'hung'))];
    first.save('website', record(0, { input: 'Of the first' }));
    second.save('docs', record(0, { input: 'Of the second' }));
    const window = await openBoth('hung', ['alpha', 'beta']);
    await window.waitForRow('Of the second');
    const [hung] = daemons(first.root);
    process.kill(hung, 'SIGSTOP');
    try {
      await window.command('Runlog: Refresh');
      second.save('docs', record(0, { id: 'meanwhile', input: 'Meanwhile' }));
      await window.waitForRow('Meanwhile', 20_000);
      await until('it is said', async () => (await window.waitForRow('alpha')).description.startsWith('does not answer · '), 20_000);
      ok((await labels(window)).includes('Of the first'), 'what is known of it stays');
      second.save('docs', record(0, { id: 'then', input: 'And then' }));
      await window.waitForRow('And then', 5000);
      await othersServe(window, second.root, 'beta');
      first.save('website', record(0, { id: 'waited', input: 'Has waited' }));
    } finally {
      process.kill(hung, 'SIGCONT');
    }
    await window.waitForRow('Has waited');
    equal((await window.waitForRow('alpha')).description, first.root, 'what stands beside it');
    await window.close();
  });

  check('two roots: one that cannot be served keeps nothing from the other', async () => {
    const [first, second] = [new Place('alpha', join(top, 'failing')), new Place('beta', join(top, 'failing'))];
    first.save('website', record(0, { input: 'Never shown' }));
    second.save('docs', record(0, { input: 'Of the first' }));
    const failing = join(top, 'failing-runlog');
    writeFileSync(failing, `#!/bin/sh\ncase "$*" in serve*'${first.root}') echo 'not this one' >&2; exit 4;; esac\nexec '${RUNLOG}' "$@"\n`, { mode: 0o755 });
    code.machine({ 'runlog.path': failing });
    const window = await openBoth('failing', ['alpha', 'beta']);
    await until('it is said', async () => (await window.waitForRow('alpha')).description.startsWith('not served · '));
    ok((await window.waitForRow('The runs cannot be listed')).description.endsWith('status 4: not this one'), 'and why');
    const dashboard = await othersServe(window, second.root, 'beta');
    await dashboard.selectOption('#root', first.root);
    await until('why it has no charts', async () => (await dashboard.textContent('[role=alert]')).endsWith('not this one'));
    await dashboard.selectOption('#root', second.root);
    await until('those of the other', async () => (await dashboard.textContent('[data-tile=Runs]')) === '1');
    await window.close();
    code.machine({});
  });

  check('several are deleted and the connection ends before an answer: what was deleted comes back with undo', async () => {
    const place = new Place('unanswered');
    for (let number = 0; number < 4; number++) place.save('website', record(number, { id: `lost-${number}` }));
    const mute = join(top, 'mute-runlog');
    writeFileSync(mute, `#!${process.execPath}
      const child = require('node:child_process').spawn('${RUNLOG}', process.argv.slice(2), { stdio: ['pipe', 'pipe', 'inherit'] });
      child.on('close', (status) => process.exit(status ?? 1));
      child.stdin.on('error', () => undefined);
      let lost = false;
      child.stdout.on('data', (part) => lost || process.stdout.write(part));
      process.stdin.on('end', () => child.stdin.end());
      process.stdin.on('data', (part) => {
        lost ||= part.includes('executions/delete') && part.includes('"lost-1"');
        child.stdin.write(part);
        // it ends when that is deleted, and has not said so
        if (lost) setInterval(() => require('node:fs').existsSync('${place.path('website', 'lost-1')}') || child.kill('SIGKILL'), 20);
      });
    `, { mode: 0o755 });
    code.machine({ 'runlog.path': mute });
    const window = await browser.open('states', code, place.folder);
    await window.showView();
    await window.waitForRow('Task number 0', 15_000);
    await window.settled();
    await window.select('Task number 0');
    for (const number of [1, 2]) await window.row(`Task number ${number}`).click({ modifiers: ['Control'] });
    await until('three are selected', async () => (await window.rows()).filter(({ selected }) => selected).length === 3);
    await window.press('Delete');
    const toast = await window.notification('Deleted 3 runs.');
    ok(!(await toast.textContent()).includes('Not deleted'), await toast.textContent());
    await until('they have gone', async () => (await labels(window)).join() === 'website,Task number 3');
    await toast.locator('.monaco-button', { hasText: 'Undo' }).click();
    await until('they are back', async () => (await labels(window)).length === 5);
    await window.close();
    code.machine({});
  });

  check('a root that comes later in one of two folders is shown', async () => {
    const [first, second] = [new Place('early', join(top, 'later')), new Place('late', join(top, 'later'))];
    first.save('website', record(0, { input: 'Of the first' }));
    const window = await openBoth('later', ['early', 'late']);
    second.save('docs', record(0, { input: 'Of the second' }));
    await window.waitForRow('Of the second', 15_000);
    await window.close();
  });

  check('without the view ever opened: a root that only the settings name has its cost in the status bar', async () => {
    const place = new Place('unopened');
    const deeper = new Place('flows', join(place.folder, 'some/where'));
    deeper.save('website', record(0));
    place.settings({ 'runlog.projects': [deeper.root] });
    const window = await browser.open('states', code, place.folder);
    await until('the cost', async () => (await window.text('.statusbar-item[id*="runlog.today"]')).includes('$0.01'));
    await window.close();
  });

  check('an untrusted workspace starts nothing until it is trusted', async () => {
    const place = new Place('untrusted');
    place.save('website', record(0));
    const window = await browser.open('states', careful, place.folder);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    equal([daemons(place.root), bridges(place.root)], [[], []], 'processes before anybody looks');
    await window.showView();
    await until('why', async () => (await welcome(window)).includes('do not trust'));
    equal([daemons(place.root), bridges(place.root)], [[], []], 'processes');
    // what needs a daemon is not offered
    await window.page.keyboard.press('F1');
    await window.type('>Runlog: ');
    await until('the commands', async () => (await window.quickItems()).some((item) => item.includes('Show Log')));
    ok(!(await window.quickItems()).some((item) => /Filter Runs|Search in Runs|Dashboard|Undo|Choose Folder|Refresh|Set the Path/.test(item)), `${await window.quickItems()}`);
    await window.page.keyboard.press('Escape');
    await window.page.locator('.sidebar .welcome-view .monaco-button', { hasText: 'Manage Workspace Trust' }).click();
    await window.page.locator('.workspace-trust-editor .monaco-button', { hasText: /^Trust$/ }).first().click();
    await window.waitForRow('Task number 0');
    await window.close();
  });
}
