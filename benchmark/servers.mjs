// @ts-check
// The servers that are compared: what builds each of them and how it is started. Every one prints `{"port":N,"pid":N}` in
// one line when it listens, and ends on SIGTERM. What is missing on this machine is named, never left out silently.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { arch } from 'node:process'
import { fileURLToPath } from 'node:url'

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url))
const root = here('..')
const target = process.env.CARGO_TARGET_DIR ?? here('../target')

/** @typedef {{ id: string, title: string, mainThreadIsJs: boolean, build: () => void, command: () => string[], version?: () => string }} Server */

const run = (/** @type {string} */ file, /** @type {string[]} */ args, cwd = root) =>
  execFileSync(file, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
const firstLine = (/** @type {string[]} */ [file, ...args]) =>
  execFileSync(file, args, { encoding: 'utf8' }).split('\n')[0].trim()

const compileC = (/** @type {string} */ name) => () => {
  mkdirSync(here('bin'), { recursive: true })
  run(process.env.CC ?? 'cc', [
    '-O3',
    '-march=native',
    '-Wall',
    '-Wextra',
    '-o',
    here(`bin/${name}`),
    here(`peers/${name}.c`),
  ])
}

/** Bun and Deno come from npm, in a package of their own; the binary lies in the platform's package, so no script has to run. */
const installRuntimes = () => {
  if (!existsSync(bun()[0]) || !existsSync(deno()[0]))
    run('npm', ['ci', '--ignore-scripts', '--silent'], here('runtimes'))
}
const bun = () => [here(`runtimes/node_modules/@oven/bun-linux-${arch === 'arm64' ? 'aarch64' : arch}/bin/bun`)]
const deno = () => [here(`runtimes/node_modules/@deno/linux-${arch}-glibc/deno`)]

/** @type {Server[]} */
export const servers = [
  {
    id: 'ringline',
    title: 'ringline (TypeScript)',
    mainThreadIsJs: true,
    build: () => run(here('../node_modules/.bin/tsc'), ['-p', here('tsconfig.json')]),
    command: () => [process.execPath, here('bin/ringline.js')],
    version: () => `on Node ${firstLine([process.execPath, '--version'])}`,
  },
  {
    id: 'ringline-rs',
    title: 'ringline (Rust)',
    mainThreadIsJs: false,
    build: () => run('cargo', ['build', '--release', '--quiet', '-p', 'ringline-echo']),
    command: () => [`${target}/release/ringline-echo`],
  },
  {
    id: 'raw',
    title: 'raw io_uring in C',
    mainThreadIsJs: false,
    build: compileC('raw-echo'),
    command: () => [here('bin/raw-echo')],
  },
  {
    id: 'epoll',
    title: 'epoll in C',
    mainThreadIsJs: false,
    build: compileC('epoll-echo'),
    command: () => [here('bin/epoll-echo')],
  },
  {
    id: 'node',
    title: 'Node net',
    mainThreadIsJs: true,
    build: () => {},
    command: () => [process.execPath, here('peers/node-net.mjs')],
    version: () => firstLine([process.execPath, '--version']),
  },
  {
    id: 'bun',
    title: 'Bun.listen',
    mainThreadIsJs: true,
    build: installRuntimes,
    command: () => [...bun(), here('peers/bun-listen.ts')],
    version: () => firstLine([...bun(), '--version']),
  },
  {
    id: 'deno',
    title: 'Deno.listen',
    mainThreadIsJs: true,
    build: installRuntimes,
    command: () => [...deno(), 'run', '--allow-net', here('peers/deno-listen.ts')],
    version: () => firstLine([...deno(), '--version']).split(' ')[1],
  },
]

export const buildLoad = () => run('cargo', ['build', '--release', '--quiet', '-p', 'ringline-load'])
export const loadCommand = () => `${target}/release/ringline-load`
