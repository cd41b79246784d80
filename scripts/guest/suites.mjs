// What is tested in the guest: the Rust tests of the crates that deal with the kernel, those of NVMe on its drives, and the built npm
// package under this machine's own Node. It owns which files go there, the commands that run them, and how their results are counted.

import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { countAva, countCargo } from '../counts.mjs'
import { root, runStage } from '../stage.mjs'

/** The manifests of the crates whose tests are about the kernel. */
const MANIFESTS = ['ring', 'ringline', 'sim'].map((folder) => join(root, 'crates', folder, 'Cargo.toml'))

/** The namespaces that tests may overwrite; see machine.mjs. */
const DEVICES = 'RINGLINE_NVME_DEVICES=/dev/ng0n2,/dev/ng0n3'

/** Fewer seeds on the simulated kernel, which is the same everywhere. */
const SEEDS = 'SEEDS=4'

/** Bounds in seconds, so that what hangs is named instead of using up the guest's time. */
const PROGRAM_SECONDS_MAX = 240
const PACKAGE_SECONDS_MAX = 400

/** Where the package lies in the guest. */
const PACKAGE = '/package'

/** One suite for each Rust test program. Builds them. */
export async function rustSuites() {
  const programs = [
    ...(await build('test programs for the guest', ['--lib', '--tests'])),
    ...(await build('test programs that need its drives', ['--test', 'nvme_devices'])),
  ]
  return programs.map((path) => {
    const name = basename(path)
    return {
      name: name.replace(/-[0-9a-f]{16}$/, ''),
      files: [[path, `/tests/${name}`]],
      command: `${DEVICES} ${SEEDS} timeout -s KILL ${PROGRAM_SECONDS_MAX} /tests/${name}`,
      count: countCargo,
    }
  })
}

/** Builds test programs as `cargo test --workspace` does, so that nothing is built twice, and answers the paths of those for the guest. */
async function build(stage, selection) {
  const args = ['test', '--no-run', '--workspace', ...selection, '--message-format=json-render-diagnostics']
  const output = await runStage(stage, 'cargo', args, { quiet: true })
  const messages = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  return messages
    .filter(
      ({ profile, executable, manifest_path: manifest }) => profile?.test && executable && MANIFESTS.includes(manifest),
    )
    .map(({ executable }) => executable)
}

/** The suite of the npm package, which must have been built, its tests too. */
export function packageSuite() {
  const configs = ['package.json', 'ava.config.js', 'ava.guest.config.js']
  const parts = [...configs, 'dist', 'dist-test', 'bindings/native', ...closure('ava')]
  const lacking = parts.filter((part) => !existsSync(join(root, part)))
  if (lacking.length > 0) throw new Error(`${lacking.join(', ')} not built: npm run build && tsc -p tsconfig.test.json`)
  const ava = `node ${PACKAGE}/node_modules/ava/entrypoints/cli.mjs --config ava.guest.config.js`
  return {
    name: 'the npm package',
    files: [[process.execPath, '/bin/node'], ...parts.map((part) => [join(root, part), join(PACKAGE, part)])],
    command: `cd ${PACKAGE} && ${DEVICES} timeout -s KILL ${PACKAGE_SECONDS_MAX} ${ava}`,
    count: countAva,
  }
}

/** The folders of an installed npm package and of all that it depends on. */
function closure(name) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const found = new Set()
  const visit = (dependency, from) => {
    const path = resolve(packages, dependency, from)
    if (path === undefined || found.has(path)) return
    found.add(path)
    for (const next of Object.keys(packages[path].dependencies ?? {})) visit(next, path)
  }
  visit(name, '')
  return [...found]
}

/** Where Node finds a package from a folder: in its own node_modules, or in those of the folders above. */
function resolve(packages, name, from) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(folder.lastIndexOf('/node_modules/'), 0))) {
    const path = join(folder, 'node_modules', name)
    if (packages[path] !== undefined) return path
    if (folder === '') return undefined
  }
}
