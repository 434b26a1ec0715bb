// Checks one after the other, told as TAP.
const checks = [];

/** A check; `body` throws where it fails. */
export function check(name, body) {
  checks.push({ name, body });
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
  const chosen = checks.filter(({ name }) => patterns.length === 0 || patterns.some((pattern) => name.includes(pattern)));
  let failures = 0;
  console.log(`1..${chosen.length}`);
  for (const [place, { name, body }] of chosen.entries()) {
    const began = Date.now();
    try {
      await body();
      console.log(`ok ${place + 1} - ${name} # ${Date.now() - began} ms`);
    } catch (error) {
      failures++;
      console.log(`not ok ${place + 1} - ${name} # ${Date.now() - began} ms`);
      console.log(String(error.stack ?? error).replace(/^/gm, '# '));
      await failed(place + 1).catch(() => undefined);
    }
  }
  return failures;
}
