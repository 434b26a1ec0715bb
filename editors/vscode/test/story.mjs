// A month of runs as somebody might have them, the same ones each time.

const TASKS = {
  website: ['Translate the landing page', 'Check the links of the release notes', 'Summarise the open pull requests', 'Rewrite the pricing page', 'Find pages without a description', 'Draft the newsletter'],
  docs: ['Find the examples that do not compile', 'Update the API reference', 'Explain the new filters', 'Look for outdated screenshots'],
  support: ['Answer the ticket about invoices', 'Triage the new tickets', 'Collect the reports of slow pages', 'Write a reply to the review'],
};
const NODES = [['collect', 'agent', 0.003, 9], ['plan', 'agent', 0.012, 6], ['write', 'subagent', 0.045, 24], ['review', 'subagent', 0.021, 12], ['check-links', 'mcp', 0, 5], ['publish', 'mcp', 0, 8]];
const ERRORS = {
  publish: (random) => `Publishing failed: the server answered 503 after ${2 + Math.floor(random() * 3)} tries`,
  write: (random) => `The model's answer was cut at ${8000 + Math.floor(random() * 400)} tokens`,
  'check-links': (random) => `Timeout of ${30 + Math.floor(random() * 30)}s while reading https://example.com/page/${Math.floor(random() * 900)}`,
};

/** Numbers from 0 to 1, the same sequence each time. */
function dice(seed) {
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed / 2 ** 31;
  };
}

export function story(place, days = 30) {
  const random = dice(7);
  const pick = (list) => list[Math.floor(random() * list.length)];
  let number = 0;
  for (let day = days - 1; day >= 0; day--) {
    // fewer on some days, as on weekends
    const runs = 2 + Math.floor(random() * (day % 7 < 2 ? 3 : 9));
    for (let run = 0; run < runs; run++) {
      const project = pick(['website', 'website', 'docs', 'support', 'support']);
      const start = Date.now() - day * 86_400_000 - Math.floor(random() * 12 * 3_600_000) - 200_000;
      const failsAt = random() < 0.16 ? pick(['publish', 'write', 'check-links']) : undefined;
      const slow = 0.6 + random() * 1.2;
      const steps = [];
      let at = start;
      for (const [nodeId, nodeType, price, seconds] of NODES) {
        const duration = Math.round(seconds * 1000 * slow * (0.7 + random() * 0.6));
        const failed = nodeId === failsAt;
        const input = 300 + Math.floor(random() * 2000);
        steps.push({
          id: `step-${steps.length + 1}`, nodeId, nodeType, status: failed ? 'failed' : 'completed', startedAt: new Date(at).toISOString(),
          completedAt: new Date(at + duration).toISOString(), duration, tokenUsage: { input, output: Math.floor(input / 4) },
          ...(price ? { costUSD: Number((price * slow).toFixed(4)), model: 'large-2' } : {}), output: failed ? undefined : `${nodeId} is done`,
        });
        at += duration + 40;
        if (failed) break;
      }
      const error = failsAt && ERRORS[failsAt](random);
      const input = steps.reduce((sum, { tokenUsage }) => sum + tokenUsage.input, 0);
      const id = `exec-${start}-${String(++number).padStart(4, '0')}`;
      const cancelled = !error && random() < 0.04;
      place.save(project, {
        id, status: error ? 'failed' : cancelled ? 'cancelled' : 'completed', input: pick(TASKS[project]), ...(error ? { error } : { output: 'Done.' }), model: 'large-2',
        startedAt: new Date(start).toISOString(), completedAt: new Date(at).toISOString(), duration: at - start,
        tokenUsage: { input, output: Math.floor(input / 4), total: input + Math.floor(input / 4) },
        costUSD: Number(steps.reduce((sum, { costUSD = 0 }) => sum + costUSD, 0).toFixed(4)), steps, retryCount: error ? 1 : 0,
      });
    }
  }
  place.save('website', {
    id: 'exec-live', status: 'running', input: 'Translate the pricing page', startedAt: new Date(Date.now() - 140_000).toISOString(), model: 'large-2',
    tokenUsage: { input: 900, output: 120, total: 1020 }, costUSD: 0.0121, retryCount: 0,
    steps: [{ id: 'step-1', nodeId: 'collect', nodeType: 'agent', status: 'running', startedAt: new Date(Date.now() - 139_000).toISOString() }],
  });
}
