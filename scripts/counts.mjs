// Reads from the output of cargo and of ava how many tests passed, failed and were skipped. It owns the forms of those lines and runs
// nothing.

/** What the closing line of scripts/test-guest.mjs says after its counts. */
export const IN_GUEST = 'on the kernel of the guest'

/** Reads cargo's `test result: ok. 3 passed; 0 failed; 0 ignored; …`, one line per test program. */
export function countCargo(output) {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const [, passed, failed, ignored] of output.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm,
  )) {
    add(counts, { passed: Number(passed), failed: Number(failed), skipped: Number(ignored) })
  }
  return counts
}

/** Reads ava's closing lines: `12 tests passed`, `1 test failed`, `2 tests skipped`, `1 uncaught exception`, … */
export function countAva(output) {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const [, count, what] of output.matchAll(
    /^\s*(\d+) (?:tests? )?(passed|failed|skipped|todo|remained pending|uncaught exceptions?|unhandled rejections?)\b/gm,
  )) {
    if (what === 'passed') counts.passed += Number(count)
    else if (what === 'skipped' || what === 'todo') counts.skipped += Number(count)
    else counts.failed += Number(count)
  }
  return counts
}

/** Reads the closing line of scripts/test-guest.mjs. */
export function countGuest(output) {
  const [, passed = 0, failed = 0, skipped = 0] =
    new RegExp(`^(\\d+) passed, (\\d+) failed(?:, (\\d+) skipped)? ${IN_GUEST}$`, 'm').exec(output) ?? []
  return { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) }
}

/** Adds to counts. */
export function add(counts, more) {
  for (const outcome of ['passed', 'failed', 'skipped']) counts[outcome] += more[outcome]
}

/** Counts in the form of a closing line. */
export function inWords({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
