// The packages as npm would publish them: packed, installed into an empty folder, and the server of the README run there.

import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = fileURLToPath(new URL('..', import.meta.url))
const native = join(root, 'bindings/native')

/** Packs the folder of a package; answers the path of the tarball. */
function pack(folder: string, destination: string): string {
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', destination]
  return join(destination, execFileSync('npm', args, { cwd: folder, encoding: 'utf8' }).trim())
}

test('the packed packages, installed into an empty folder, serve connections', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ringline-packed-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const library = readdirSync(native).find((name) => name.endsWith('.node')) ?? ''
  const platform = library.split('.')[1] ?? ''
  const platformPackage = join(folder, 'platform')
  cpSync(join(root, 'npm', platform), platformPackage, { recursive: true })
  copyFileSync(join(native, library), join(platformPackage, library))

  const app = join(folder, 'app')
  mkdirSync(app)
  writeFileSync(join(app, 'package.json'), '{ "private": true, "type": "module" }')
  copyFileSync(join(root, 'scripts/try.mjs'), join(app, 'try.mjs'))
  const tarballs = [pack(root, folder), pack(platformPackage, folder)]
  execFileSync('npm', ['install', '--silent', '--offline', '--no-audit', '--no-fund', ...tarballs], { cwd: app })
  t.regex(
    execFileSync(process.execPath, ['try.mjs'], { cwd: app, encoding: 'utf8' }),
    /^ringline \S+ serves connections/,
  )
})

test('every platform of the package has a folder under npm/ that names the same version, library and machine', (t) => {
  const main = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const machines = main.napi.targets.map((target: string) => {
    const [cpu, , , libc] = target.split('-') as [string, string, string, string]
    return { cpu: cpu === 'x86_64' ? 'x64' : 'arm64', libc }
  })
  const folders = machines.map(({ cpu, libc }: { cpu: string; libc: string }) => `linux-${cpu}-${libc}`)
  t.deepEqual(readdirSync(join(root, 'npm')).toSorted(), folders.toSorted())
  for (const { cpu, libc } of machines) {
    const name = `linux-${cpu}-${libc}`
    const manifest = JSON.parse(readFileSync(join(root, 'npm', name, 'package.json'), 'utf8'))
    t.like(manifest, {
      name: `${main.napi.packageName}-${name}`,
      version: main.version,
      main: `${main.napi.binaryName}.${name}.node`,
      os: ['linux'],
      cpu: [cpu],
      libc: [libc === 'gnu' ? 'glibc' : 'musl'],
      engines: main.engines,
      license: main.license,
      publishConfig: { access: 'public' },
    })
  }
})
