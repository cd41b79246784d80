// @ts-check
// What a measurement needs is built here: C with the system's compiler, Rust with cargo, TypeScript with the project's own
// compiler, other runtimes from npm. It knows how, not what.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { arch } from 'node:process'
import { fileURLToPath } from 'node:url'

/** A file of the benchmark, by its path in this folder's parent. */
export const here = (/** @type {string} */ path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const root = here('..')
const target = process.env.CARGO_TARGET_DIR ?? here('../target')

/**
 * Something that is compared: what builds it and how it is started. What cannot be built on this machine is named, never left out silently.
 * @typedef {{ id: string, title: string, mainThreadIsJs: boolean, build: () => void, command: () => string[], version?: () => string }} Server
 */

const run = (/** @type {string} */ file, /** @type {string[]} */ args, cwd = root) =>
  execFileSync(file, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
const firstLine = (/** @type {string[]} */ [file, ...args]) =>
  execFileSync(file, args, { encoding: 'utf8' }).split('\n')[0].trim()

/** Compiles a C file to `bin/` and answers nothing; see {@link program}. @param {string} source of this folder's parent, without `.c` */
export function compileC(source) {
  mkdirSync(here('bin'), { recursive: true })
  run(process.env.CC ?? 'cc', ['-O3', '-march=native', '-Wall', '-Wextra', '-o', program(source), here(`${source}.c`)])
}

/** The program that {@link compileC} makes. @param {string} source */
export const program = (source) => here(`bin/${source.split('/').at(-1)}`)

/** Builds a package of the project's workspace. @param {string} name */
export const buildRust = (name) => run('cargo', ['build', '--release', '--quiet', '-p', name])
/** @param {string} name */
export const rustProgram = (name) => `${target}/release/${name}`

/** The version that a package of `rust-peers/` has there; none for this project's own. @param {string} name */
function lockedVersion(name) {
  const lock = readFileSync(here('rust-peers/Cargo.lock'), 'utf8')
  return new RegExp(`^name = "${name}"\\nversion = "(.*)"\\nsource`, 'm').exec(lock)?.[1] ?? 'of an unknown version'
}

/**
 * A program of `rust-peers/`, a workspace of its own, and the runtime that it shows.
 * @param {string} id @param {string} title @param {string} binary @param {string} [runtime] what is published as the runtime, if it is a peer's
 * @returns {Server}
 */
export const rustPeer = (id, title, binary, runtime) => ({
  id,
  title,
  mainThreadIsJs: false,
  build: () => run('cargo', ['build', '--release', '--quiet', '--locked', '--bin', binary], here('rust-peers')),
  command: () => [here(`rust-peers/target/release/${binary}`)],
  ...(runtime === undefined ? {} : { version: () => lockedVersion(runtime) }),
})

/** The runtimes in Rust that are compared with: how they are called here, and under which name each is published. */
export const RUST_RUNTIMES = /** @type {const} */ ({
  tokio: ['tokio, current thread', 'tokio'],
  monoio: ['monoio', 'monoio'],
  compio: ['compio', 'compio'],
  published: ['published ringline crate', 'ringline'],
})

/** Those of them that have a program of a kind, `echo` for example. @param {string} kind @param {(keyof typeof RUST_RUNTIMES)[]} ids */
export const rustPeers = (kind, ids) =>
  ids.map((id) => rustPeer(id, RUST_RUNTIMES[id][0], `${id}-${kind}`, RUST_RUNTIMES[id][1]))

/** Compiles what is written in TypeScript for Node. */
export const buildTypeScript = () => run(here('../node_modules/.bin/tsc'), ['-p', here('tsconfig.json')])

/** Bun and Deno come from npm, in a package of their own; the binary lies in the platform's package, so no script has to run. */
export function installRuntimes() {
  if (!existsSync(bun()[0]) || !existsSync(deno()[0]))
    run('npm', ['ci', '--ignore-scripts', '--silent'], here('runtimes'))
}
export const bun = () => [here(`runtimes/node_modules/@oven/bun-linux-${arch === 'arm64' ? 'aarch64' : arch}/bin/bun`)]
export const deno = () => [here(`runtimes/node_modules/@deno/linux-${arch}-glibc/deno`)]

export const nodeVersion = () => firstLine([process.execPath, '--version'])
export const ringlineVersion = () => `on Node ${nodeVersion()}`
/**
 * Makes ringline's entries of a family, which are one program with options.
 *
 * @param {string} peer @returns {(id: string, title: string, ...options: string[]) => Server}
 */
export const ringlineServer =
  (peer) =>
  (id, title, ...options) => ({
    id,
    title,
    mainThreadIsJs: true,
    build: buildTypeScript,
    command: () => [process.execPath, here(peer), ...options],
    version: ringlineVersion,
  })
export const bunVersion = () => firstLine([...bun(), '--version'])
export const denoVersion = () => firstLine([...deno(), '--version']).split(' ')[1]
export { firstLine, run }
