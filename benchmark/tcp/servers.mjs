// @ts-check
// The TCP echo servers that are compared: what builds each of them and how it is started. Every one prints `{"port":N,"pid":N}` in
// one line when it listens, and ends on SIGTERM.
import {
  buildRust,
  bun,
  bunVersion,
  compileC,
  deno,
  denoVersion,
  here,
  installRuntimes,
  nodeVersion,
  program,
  ringlineServer,
  rustPeers,
  rustProgram,
} from '../harness/build.mjs'

/** @typedef {import('../harness/build.mjs').Server} Server */

const ringline = ringlineServer('bin/tcp/peers/ringline.js')

/** @type {Server[]} */
export const servers = [
  ringline('ringline', 'ringline (TypeScript)'),
  ringline('ringline-inline', 'ringline (TypeScript), inline', '--inline'),
  ringline('ringline-borrowed', 'ringline (TypeScript), borrowed chunks', '--borrowed'),
  ringline('ringline-borrowed-inline', 'ringline (TypeScript), borrowed chunks, inline', '--borrowed', '--inline'),
  {
    id: 'ringline-rs',
    title: 'ringline (Rust)',
    mainThreadIsJs: false,
    build: () => buildRust('ringline-echo'),
    command: () => [rustProgram('ringline-echo')],
  },
  {
    id: 'raw',
    title: 'raw io_uring in C',
    mainThreadIsJs: false,
    build: () => compileC('tcp/peers/raw-echo'),
    command: () => [program('raw-echo')],
  },
  {
    id: 'epoll',
    title: 'epoll in C',
    mainThreadIsJs: false,
    build: () => compileC('tcp/peers/epoll-echo'),
    command: () => [program('epoll-echo')],
  },
  {
    id: 'node',
    title: 'Node net',
    mainThreadIsJs: true,
    build: () => {},
    command: () => [process.execPath, here('tcp/peers/node-net.mjs')],
    version: nodeVersion,
  },
  {
    id: 'bun',
    title: 'Bun.listen',
    mainThreadIsJs: true,
    build: installRuntimes,
    command: () => [...bun(), here('tcp/peers/bun-listen.ts')],
    version: bunVersion,
  },
  {
    id: 'deno',
    title: 'Deno.listen',
    mainThreadIsJs: true,
    build: installRuntimes,
    command: () => [...deno(), 'run', '--allow-net', here('tcp/peers/deno-listen.ts')],
    version: denoVersion,
  },
]

export const rustServers = rustPeers('echo', ['tokio', 'monoio', 'compio', 'published'])

/** The proxies: each gets the port of its upstream as an argument. @type {Server[]} */
export const proxies = [
  ringlineServer('bin/tcp/peers/ringline-proxy.js')('ringline-proxy', 'ringline (TypeScript), conn.pipe'),
  {
    id: 'ringline-proxy-rs',
    title: 'ringline (Rust), conn.pipe',
    mainThreadIsJs: false,
    build: () => buildRust('ringline-echo'),
    command: () => [rustProgram('ringline-echo'), '--proxy'],
  },
  {
    id: 'epoll-proxy',
    title: 'epoll in C, without splice',
    mainThreadIsJs: false,
    build: () => compileC('tcp/peers/epoll-proxy'),
    command: () => [program('epoll-proxy')],
  },
  {
    id: 'node-proxy',
    title: 'Node net, pipe',
    mainThreadIsJs: true,
    build: () => {},
    command: () => [process.execPath, here('tcp/peers/node-proxy.mjs')],
    version: nodeVersion,
  },
]

/** @param {string[]} ids */
export const chosen = (ids) => [...servers, ...rustServers].filter(({ id }) => ids.includes(id))
