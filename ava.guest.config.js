// What ava runs in the guest (npm run test:guest): the specs of the kernel's side of the package, and those that need its drives. What
// never reaches the kernel is the same there, and how late a timer may be is no question to an emulated processor. The rest is as in
// ava.config.js.
import usual from './ava.config.js'

const SPECS = ['combinators', 'direct-io', 'guards', 'recv-into', 'timers', 'udp']

export default {
  ...usual,
  match: ['*', '!a sleep of a fraction of a millisecond *'],
  files: ['dist-test/guest/*.spec.js', ...SPECS.map((name) => `dist-test/${name}.spec.js`)],
}
