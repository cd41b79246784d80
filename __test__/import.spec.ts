// What importing the package does, and what it leaves for later: servers, tools and every worker thread pay for it when they start.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { ConnCtx, connect, RinglineBuilder, RinglineError, Server, version } from 'ringline'
import { dial, handlerClass, testConfig, until } from './serving.js'

const compiled = fileURLToPath(new URL('../dist/', import.meta.url))
const bundle = fileURLToPath(new URL('../dist/bundle/', import.meta.url))

test('importing starts no thread, makes no ring and loads no native library', (t) => {
  const program = `
    import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
    import { readFile } from 'node:fs/promises'
    const threads = () => readdirSync('/proc/self/task').length
    const rings = () => readdirSync('/proc/self/fd').filter((fd) => {
      try { return readlinkSync('/proc/self/fd/' + fd).includes('io_uring') } catch { return false }
    }).length
    // Reading a file starts the threads of libuv, and so does every import.
    await readFile('/proc/self/stat')
    const before = { threads: threads(), rings: rings() }
    const { version } = await import('ringline')
    const libraries = () => readFileSync('/proc/self/maps', 'utf8').match(/ringline\\.[^ ]*\\.node/g)?.length ?? 0
    const imported = { threads: threads(), rings: rings() }
    const loaded = libraries()
    version()
    console.log(JSON.stringify({ before, imported, loaded, used: libraries() > 0 }))
  `
  const cwd = fileURLToPath(new URL('../', import.meta.url))
  const said = JSON.parse(String(execFileSync(process.execPath, ['--input-type=module', '--eval', program], { cwd })))
  t.deepEqual(said.imported, said.before)
  t.is(said.loaded, 0)
  t.true(said.used, 'the library is found in the maps once it is loaded')
})

test('importing reads one file and imports no module of Node; the rest is read at the first launch', (t) => {
  t.deepEqual(readdirSync(bundle).sort(), ['index.js', 'launch.js', 'worker-entry.js'])
  const imported = (file: string) => [
    ...new Set([...readFileSync(`${bundle}${file}`, 'utf8').matchAll(/\bfrom\s*"([^"]+)"/g)].map((match) => match[1])),
  ]
  t.deepEqual(imported('index.js'), [])
  t.true(imported('launch.js').includes('./index.js'), 'what both need is there once')
})

test('what a launched runtime makes is of the classes that were imported', async (t) => {
  const accepted: unknown[] = []
  const handler = handlerClass({ onAccept: (conn) => void accepted.push(conn) })
  const server = await new RinglineBuilder(testConfig().build()).bind('127.0.0.1:0').launch(handler)
  t.teardown(() => server.shutdown())
  await dial(t, server)
  await until(() => accepted.length === 1)
  t.true(server instanceof Server)
  t.true(accepted[0] instanceof ConnCtx)
  await t.throwsAsync(connect({ address: '127.0.0.1', port: 0 }), { instanceOf: RinglineError })
  t.false(Object.keys(RinglineBuilder).includes('shared'), 'how the files share is not shown')
})

test('no module exports a variable that changes: launch.js would have a copy of its first value', (t) => {
  const modules = readdirSync(compiled).filter((name) => name.endsWith('.js'))
  t.true(modules.includes('errors.js'))
  t.deepEqual(
    modules.filter((name) => /^export let /m.test(readFileSync(`${compiled}${name}`, 'utf8'))),
    [],
  )
})

test('the package can be required', (t) => {
  const program = `const { RinglineBuilder, version } = require('ringline'); console.log(typeof RinglineBuilder, version())`
  const cwd = fileURLToPath(new URL('../', import.meta.url))
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=commonjs', '--eval', program]
  t.is(String(execFileSync(process.execPath, args, { cwd })), `function ${version()}\n`)
})
