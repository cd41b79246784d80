// Which delivery a run of the tests is about. The specs of servers run once with each: `npm run test:js` says so by this variable, which
// the programs that tests start inherit.

import { ConfigBuilder, type Delivery } from 'ringline'

/** The delivery of this run. */
export const delivery: Delivery = process.env['RINGLINE_TEST_DELIVERY'] === 'inline' ? 'inline' : 'threadsafe'

/** A configuration for tests: one worker, on any core. */
export function testConfig(): ConfigBuilder {
  return new ConfigBuilder().workers(1).pinToCore(false).delivery(delivery)
}
