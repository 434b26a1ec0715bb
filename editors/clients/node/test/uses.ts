// Compiled, not run: what the types allow, and what they refuse.
import { Client, RunlogError, type Summary, type Told } from '../runlog.js';

export async function uses(client: Client): Promise<void> {
  const list = await client.request('executions/list', { limit: 20, status: ['failed'] });
  const first: Summary | undefined = list.executions[0];
  const label: string | null | undefined = first?.label;
  const cost: number = (await client.request('executions/stats')).totalCostUSD;
  await client.request('ping');
  // @ts-expect-error there is no such method
  await client.request('executions/lits', {});
  // @ts-expect-error a param is missing
  await client.request('executions/get', { projectId: 'p' });
  // @ts-expect-error params are needed
  await client.request('executions/get');
  // @ts-expect-error a param is of another type
  await client.request('executions/list', { limit: 'all' });
  for await (const change of client.changes({ projectId: 'p' })) {
    const told: Told = change;
    if (told.kind === 'deleted') console.log(told.executionId, label, cost);
    // @ts-expect-error only what was saved has a summary
    if (told.kind === 'deleted') console.log(told.summary);
  }
  const length: number = await client.run({ projectId: 'p', name: 'n' }, async (run) => (
    await run.step({ name: 's', nodeType: 'mcp' }, () => 'text')).length);
  // @ts-expect-error a run belongs to a project
  await client.run({ name: 'n' }, () => length);
  await client.start({ projectId: 'p' }).catch((error) => error instanceof RunlogError && error.kind);
}
