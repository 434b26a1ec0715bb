// The printed TypeScript types compile, and say what is answered.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';

test('the types compile and are usable', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'runlog-types-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const printed = execFileSync(process.env.RUNLOG_BINARY, ['types'], { encoding: 'utf-8' });
  writeFileSync(join(folder, 'runlog.ts'), printed);
  const uses = (line) => {
    const file = join(folder, 'use.ts');
    writeFileSync(file, `
      import type { Methods } from './runlog';
      declare function ask<M extends keyof Methods>(method: M, params: Methods[M]['params']): Methods[M]['result'];
      const list = ask('executions/list', { limit: 20, status: ['failed'] });
      export const labels: (string | null | undefined)[] = list.executions.map((run) => run.label);
      export const cost: number = ask('executions/stats', {}).totalCostUSD;
      ${line}`);
    const program = ts.createProgram([file], {
      strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler, types: [],
    });
    return ts.getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  };
  assert.deepEqual(uses(''), []);
  assert.equal(uses("ask('executions/lits', {});").length, 1);
  assert.equal(uses("ask('executions/get', { projectId: 'p' });").length, 1);
});
