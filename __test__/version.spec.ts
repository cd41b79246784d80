// The package loads its native library and both are of one version.

import { readFileSync } from 'node:fs'
import test from 'ava'
import { version } from 'ringline'

test('the native library has the version of the package', (t) => {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.is(version(), manifest.version)
})
