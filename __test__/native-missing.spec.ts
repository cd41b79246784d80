// The package as a machine without a native library has it: importing works, using it gives the clear error, until
// there is one.

import { execFile } from 'node:child_process'
import { copyFile, cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { version } from 'ringline'

const program = `
  const { copyFileSync } = await import('node:fs')
  const { version } = await import('ringline')
  const errors = [0, 1].map(() => { try { return version() } catch (error) { return error } })
  const { name, code, message, cause } = errors[0]
  copyFileSync(process.env.LIBRARY, process.env.PLACE)
  const found = version()
  console.log(JSON.stringify({ name, code, message, caused: cause instanceof Error, again: errors[1].message, found }))
`

test('without a native library importing works and using it says what is missing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ringline-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await mkdir(join(folder, 'bindings/native'), { recursive: true })
  await cp('dist', join(folder, 'dist'), { recursive: true })
  for (const file of ['package.json', 'bindings/native/binding.cjs']) await copyFile(file, join(folder, file))

  const library = (await readdir('bindings/native')).find((name) => name.endsWith('.node'))!
  const env = { LIBRARY: resolve('bindings/native', library), PLACE: join(folder, 'bindings/native', library) }

  const run = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: folder,
    env: { ...process.env, ...env },
  })

  const seen = JSON.parse(run.stdout) as Record<string, unknown>
  t.is(seen['name'], 'RinglineError')
  t.is(seen['code'], process.platform === 'linux' ? 'ERR_RINGLINE_NATIVE_LIBRARY' : 'ERR_RINGLINE_UNSUPPORTED_PLATFORM')
  t.true(seen['caused'])
  t.is(seen['again'], seen['message'])
  t.is(seen['found'], version())
})
