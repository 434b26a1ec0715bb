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

/**
 * Runs what the patterns name, or everything; how many failed. What fails is told and tried once more, as a busy machine
 * loses a click or a key once in a while: what passes only then is told as such at the end.
 */
export async function runAll(patterns, failed) {
  let told = 0;
  let failures = 0;
  const unsteady = [];
  const run = async ({ name, body }) => {
    const number = ++told;
    let [error, began] = [undefined, 0];
    const fails = async () => {
      began = Date.now();
      error = await Promise.resolve().then(body).then(() => undefined, (caught) => caught ?? new Error('nothing was thrown'));
      if (error) await failed(number, name.split(':')[0]).catch(() => undefined);
      return error;
    };
    const why = () => console.log(String(error.stack ?? error).replace(/^/gm, '# '));
    if (await fails()) {
      console.log(`# ${number} fails after ${Date.now() - began} ms and is tried once more: ${name}`);
      why();
      if (!await fails()) unsteady.push(number);
    }
    console.log(`${error ? 'not ok' : 'ok'} ${number} - ${name} # ${Date.now() - began} ms`);
    if (!error) return;
    failures++;
    why();
  };
  const chosen = [...groups.values()].map((checks) => checks.filter(({ name }) => patterns.length === 0 || patterns.some((pattern) => name.includes(pattern))));
  for (const checks of chosen) for (const one of checks) await run(one);
  console.log(`1..${told}`);
  if (unsteady.length > 0) console.log(`# passed only when tried once more: ${unsteady.join(', ')}`);
  return failures;
}
