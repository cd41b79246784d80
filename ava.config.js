// What ava runs: the specs that `tsc -p tsconfig.test.json` compiled from __test__/. One child process per file, so that a native
// crash fails one file instead of the runner, and one file at a time, because ring threads of two files would share two cores. Those of __test__/guest
// need NVMe drives; ava.guest.config.js runs them.
export default {
  files: ['dist-test/**/*.spec.js', '!dist-test/guest/**'],
  workerThreads: false,
  concurrency: 1,
  timeout: '2m',
}
