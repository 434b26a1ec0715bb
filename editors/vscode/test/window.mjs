// The real VS Code, served to a headless Chromium.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { environment, top } from './place.mjs';

const CODE = join(process.env.RUNLOG_EDITORS_CACHE, 'code-server/bin/code-server');
const QUIET = {
  'workbench.startupEditor': 'none', 'telemetry.telemetryLevel': 'off', 'update.mode': 'none', 'extensions.autoCheckUpdates': false,
  'chat.disableAIFeatures': true, 'workbench.secondarySideBar.defaultVisibility': 'hidden', 'files.simpleDialog.enable': true,
  'workbench.tips.enabled': false, 'window.autoDetectColorScheme': false, 'window.autoDetectHighContrast': false, 'workbench.colorTheme': 'Light Modern', 'security.workspace.trust.startupPrompt': 'never', 'workbench.enableExperiments': false,
};

/** What a movement of the mouse may take; once in a while VS Code never answers one, and the next goes through. */
const SLOW_MS = 8_000;

/** Waits until `look` gives something true, and gives that. */
export async function until(what, look, within = 40_000) {
  const end = Date.now() + within;
  let last;
  for (;;) {
    try {
      last = await look();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${within} ms${last instanceof Error ? `: ${last.message}` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Code {
  #data;
  #trusting;
  constructor(name, trusting) {
    this.#data = join(top, name);
    this.#trusting = trusting;
  }

  static install(vsix) {
    mkdirSync(join(top, 'extensions'), { recursive: true });
    execFileSync(CODE, ['--extensions-dir', join(top, 'extensions'), '--user-data-dir', join(top, 'install'), '--install-extension', vsix], { env: environment, stdio: 'pipe' });
  }

  /** The settings that only the machine's owner can make. */
  machine(settings) {
    mkdirSync(join(this.#data, 'Machine'), { recursive: true });
    writeFileSync(join(this.#data, 'Machine/settings.json'), JSON.stringify(settings));
  }

  user(settings = {}) {
    mkdirSync(join(this.#data, 'User'), { recursive: true });
    writeFileSync(join(this.#data, 'User/settings.json'), JSON.stringify({ ...QUIET, ...settings }));
  }

  async start() {
    this.user();
    this.machine({});
    this.port = await freePort();
    const flags = ['--bind-addr', `127.0.0.1:${this.port}`, '--auth', 'none', '--disable-telemetry', '--disable-update-check', '--disable-getting-started-override',
      '--extensions-dir', join(top, 'extensions'), '--user-data-dir', this.#data, ...(this.#trusting ? ['--disable-workspace-trust'] : [])];
    this.log = '';
    this.child = spawn(CODE, flags, { env: environment, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (text) => (this.log += text));
    await until('VS Code answers', async () => (await fetch(`http://127.0.0.1:${this.port}/healthz`)).ok, 60_000);
  }

  stop() {
    if (!this.child) return;
    try {
      process.kill(-this.child.pid);
    } catch {
      // it has gone
    }
  }
}

export class Browser {
  /** The last window of each group. */
  last = {};

  async start() {
    this.browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
  }

  /** A window on a folder or a workspace file. */
  async open(group, code, target) {
    // one for all: what one window has fetched the next need not
    this.context ??= await this.browser.newContext({ viewport: { width: 1400, height: 1000 }, timezoneId: 'America/New_York', permissions: ['clipboard-read', 'clipboard-write'] });
    const page = await this.context.newPage();
    const window = new Window(page);
    this.last[group] = window;
    page.on('console', (message) => window.console.push(message.text()));
    const kind = target.endsWith('.code-workspace') ? 'workspace' : 'folder';
    await page.goto(`http://127.0.0.1:${code.port}/?${kind}=${target}`);
    await page.waitForSelector('.monaco-workbench', { timeout: 60_000 });
    await page.waitForSelector('.activitybar [aria-label^="Runlog"]', { timeout: 60_000 });
    return window;
  }

  async stop() {
    await this.browser?.close();
  }
}

export class Window {
  console = [];
  constructor(page) {
    this.page = page;
  }

  async close() {
    await this.page.close();
  }

  async showView() {
    const icon = this.page.locator('.activitybar .action-item:has([aria-label^="Runlog"])');
    if (!(await icon.getAttribute('class')).includes('checked')) await icon.click();
    // the tree, or what is said in its place
    await this.page.locator('.sidebar').locator('.tree-explorer-viewlet-tree-view, .welcome-view').filter({ visible: true }).first().waitFor({ timeout: 20_000 });
  }

  /** The rows that are painted: what each says, in order. */
  async rows() {
    return await this.page.$$eval('.sidebar .tree-explorer-viewlet-tree-view .monaco-list-rows .monaco-list-row', (rows) => rows
      .sort((a, b) => Number(a.dataset.index) - Number(b.dataset.index))
      .map((row) => ({
        label: row.querySelector('.label-name')?.textContent ?? '', description: row.querySelector('.label-description')?.textContent.replace('\u200e', '') ?? '',
        icon: row.querySelector('.custom-view-tree-node-item-icon')?.className ?? '', selected: row.classList.contains('selected'), index: Number(row.dataset.index), id: row.id,
      })));
  }

  /** All rows, of which there are so many: what is not in sight is scrolled to. */
  async allRows(count) {
    await this.page.locator('.sidebar .tree-explorer-viewlet-tree-view .monaco-list').first().hover();
    const toTop = () => until('the first row', async () => {
      await this.page.mouse.wheel(0, -50_000);
      return (await this.rows())[0]?.index === 0;
    });
    await toTop();
    const rows = [];
    await until(`${count} rows`, async () => {
      for (const row of await this.rows()) rows[row.index] = row;
      await this.page.mouse.wheel(0, 300);
      return rows.length === count && Object.keys(rows).length === count;
    }, 10_000);
    await toTop();
    return rows;
  }

  /** Waits until the rows have been the same for longer than a refresh takes: a click would hit another one. */
  async settled() {
    let [last, since] = ['', Date.now()];
    await until('rows that stay', async () => {
      const now = JSON.stringify(await this.rows());
      if (now !== last) [last, since] = [now, Date.now()];
      return Date.now() - since > 1200;
    });
  }

  /** Puts the keyboard into the list and presses a key there. */
  async press(key) {
    await this.page.locator('.sidebar .tree-explorer-viewlet-tree-view .monaco-list').first().focus();
    await this.page.keyboard.press(key);
  }

  row(label) {
    return this.page.locator('.sidebar .tree-explorer-viewlet-tree-view .monaco-list-rows .monaco-list-row').filter({ has: this.page.locator('.label-name', { hasText: new RegExp(`^${label.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`) }) }).first();
  }

  /** Moves the mouse to where it is over nothing that is explained. */
  async lookAway() {
    await this.page.mouse.move(700, 990);
  }

  /** Selects a row: a click is lost on one that is painted again meanwhile, and on what explains another one above it. */
  async select(label) {
    await until(`${label} is selected`, async () => {
      await this.lookAway();
      await this.row(label).click({ timeout: SLOW_MS });
      return await until('it', async () => (await this.rows()).some((row) => row.selected && row.label === label), 2000);
    });
  }

  /** Presses a row's button until that has done something, for the same reason. */
  async pressButton(label, button, what, done) {
    await until(what, async () => {
      if (await done()) return true;
      await this.row(label).hover({ timeout: SLOW_MS });
      await this.row(label).locator(`[aria-label^="${button}"]`).click({ timeout: SLOW_MS });
      return await until(what, done, 3000);
    }, 60_000);
  }

  async waitForRow(label, within) {
    return await until(`the row ${label}`, async () => (await this.rows()).find((row) => row.label === label), within);
  }

  async command(title) {
    let again = false;
    await until(`the command ${title}`, async () => {
      // a click may be told as lost and have opened what now has the keys
      if (again) await this.page.keyboard.press('Escape');
      again = true;
      await this.page.keyboard.press('F1');
      await this.#typed.fill(`>${title}`, { timeout: 2000 });
      const row = await until('its row', async () => {
        for (const row of await this.page.$$('.quick-input-list .monaco-list-row')) {
          const label = await row.$eval('.label-name', (name) => name.textContent);
          if (label.replace(/…$/, '') === title) return row;
        }
        return undefined;
      }, 8000);
      await row.click({ timeout: 2000 });
      return true;
    }, 60_000);
  }

  /** Gives the view more room, as who reads in it does. */
  async widen(by) {
    const { x, y, width, height } = await this.page.locator('.part.sidebar').boundingBox();
    await this.page.mouse.move(x + width + 2, y + height / 2);
    await this.page.mouse.down();
    await this.page.mouse.move(x + width + 2 + by, y + height / 2, { steps: 4 });
    await this.page.mouse.up();
  }

  /** Where somebody types into what lies over the window. */
  get #typed() {
    return this.page.locator('.quick-input-widget .quick-input-box input, .quick-input-widget .quick-input-filter input').first();
  }

  /** Types into the open quick input in place of what is there. */
  async type(text) {
    await this.#typed.waitFor();
    await this.#typed.fill(text);
  }

  /** Opens a quick input and types into it. It closes where something else gets the keys late; then once more. */
  async typeInto(open, text) {
    await until(`the box for ${text}`, async () => {
      await open();
      return await until('it', async () => {
        if (!await this.#typed.isVisible() || (await this.#typed.inputValue()).startsWith('>')) return false;
        await this.#typed.fill(text, { timeout: 2000 });
        return await this.#typed.isVisible();
      }, 8000);
    }, 60_000);
  }

  /** A command that opens a quick input, and what is typed there. */
  async commandWith(title, text) {
    await this.typeInto(() => this.command(title), text);
  }

  /** What the view says above its rows. */
  async message() {
    return await this.text('.sidebar .tree-explorer-viewlet-tree-view .message');
  }

  async quickItems() {
    return await this.page.$$eval('.quick-input-list .monaco-list-row', (rows) => rows.map((row) => row.getAttribute('aria-label') ?? row.textContent));
  }

  /** The page inside of a panel, whose script has drawn it. */
  async panel(selector) {
    return await until(`a panel with ${selector}`, async () => {
      for (const frame of this.page.frames()) {
        if (frame === this.page.mainFrame()) continue;
        if (await frame.$(selector).catch(() => null)) return frame;
      }
      return undefined;
    });
  }

  async notification(text, within) {
    return await until(`a notification with ${text}`, async () => {
      const found = this.page.locator('.notifications-toasts .notification-list-item', { hasText: text });
      return (await found.count()) > 0 ? found.first() : undefined;
    }, within);
  }

  async text(selector) {
    return (await this.page.locator(selector).allTextContents()).join('\n');
  }
}
