// Checks, told as TAP, one after the other: beside each other the windows would wait for the processor.
const groups = new Map();
let group = '';

/** The checks that follow are of this group. */
export function inGroup(name) {
  group = name;
  groups.set(name, []);
}

/** A check; `body` throws where it fails. */
export function check(name, body) {
  groups.get(group).push({ name: `${group}: ${name}`, body });
}

export function equal(actual, expected, what = 'value') {
  const [a, b] = [actual, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what} is ${a}\nand should be ${b}`);
}

export function ok(condition, what) {
  if (!condition) throw new Error(what);
}

/** Runs what the patterns name, or everything; how many failed. */
export async function runAll(patterns, failed) {
  let told = 0;
  let failures = 0;
  const run = async ({ name, body }) => {
    const began = Date.now();
    let error;
    try {
      await body();
    } catch (caught) {
      error = caught;
    }
    const number = ++told;
    console.log(`${error ? 'not ok' : 'ok'} ${number} - ${name} # ${Date.now() - began} ms`);
    if (!error) return;
    failures++;
    console.log(String(error.stack ?? error).replace(/^/gm, '# '));
    await failed(number, name.split(':')[0]).catch(() => undefined);
  };
  const chosen = [...groups.values()].map((checks) => checks.filter(({ name }) => patterns.length === 0 || patterns.some((pattern) => name.includes(pattern))));
  for (const checks of chosen) for (const one of checks) await run(one);
  console.log(`1..${told}`);
  return failures;
}
