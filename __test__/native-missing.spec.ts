// The package as a machine without a native library has it: importing works, using it gives the clear error, every time the same one.

import { execFile } from 'node:child_process'
import { copyFile, cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'

const program = `
  const { version } = await import('ringline')
  const errors = [0, 1].map(() => { try { return version() } catch (error) { return error } })
  const { name, code, message, cause } = errors[0]
  console.log(JSON.stringify({ name, code, message, caused: cause instanceof Error, same: errors[0] === errors[1] }))
`

test('without a native library importing works and using it says what is missing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ringline-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await mkdir(join(folder, 'bindings/native'), { recursive: true })
  await cp('dist', join(folder, 'dist'), { recursive: true })
  for (const file of ['package.json', 'bindings/native/binding.cjs']) await copyFile(file, join(folder, file))

  const run = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { cwd: folder })

  const seen = JSON.parse(run.stdout) as Record<string, unknown>
  t.is(seen['name'], 'RinglineError')
  t.is(seen['code'], process.platform === 'linux' ? 'ERR_RINGLINE_NATIVE_LIBRARY' : 'ERR_RINGLINE_UNSUPPORTED_PLATFORM')
  t.true(seen['caused'])
  t.true(seen['same'])
})
