// What ava runs in the guest (npm run test:guest): the specs that need its drives, and those of the package's way to the kernel that do not
// depend on how fast a processor is, which an emulated one is not. Timers and UDP are tested there from Rust. The rest is as in ava.config.js.
import usual from './ava.config.js'

const SPECS = ['direct-io', 'guards', 'recv-into']

export default {
  ...usual,
  files: ['dist-test/guest/*.spec.js', ...SPECS.map((name) => `dist-test/${name}.spec.js`)],
}
