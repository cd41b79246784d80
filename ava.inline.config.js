// The specs of servers once more, with inline delivery; see __test__/delivery.ts.
import usual from './ava.config.js'

const specs = [
  'accept-burst',
  'borrowed',
  'clients',
  'combinators',
  'connect',
  'connections',
  'direct-io',
  'driver-ctx',
  'dropped',
  'guards',
  'hostile-input',
  'leaks',
  'lifetime',
  'pipe',
  'receiving',
  'recv-into',
  'send-chain',
  'server',
  'timers',
  'udp',
  'worker-threads',
  'workers',
]

export default {
  ...usual,
  files: specs.map((spec) => `dist-test/${spec}.spec.js`),
  environmentVariables: { RINGLINE_TEST_DELIVERY: 'inline' },
}
