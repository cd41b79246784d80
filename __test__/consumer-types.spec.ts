// The public types in the projects of others: strict, with library checks, and without a word about Node in their configuration.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'

const root = fileURLToPath(new URL('../', import.meta.url))
const strict = ['--ignoreConfig', '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false']

for (const [module, resolution] of [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
] as const) {
  test.serial(`a strict project that names no types compiles with moduleResolution ${resolution}`, async (t) => {
    const target = ['--target', 'es2022', '--module', module, '--moduleResolution', resolution]
    const compiler = `${root}node_modules/typescript/bin/tsc`
    await t.notThrowsAsync(
      promisify(execFile)(process.execPath, [compiler, ...strict, ...target, '__test__/types/consumer.ts'], {
        cwd: root,
      }),
    )
  })
}
