// Other versions of Node.js, fetched from npm into .cache/, and the JavaScript tests under them. It owns how a version is got and how ava
// is started with it; which tests run is its callers' business.

import { existsSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { root, runStage, StageFailure } from './stage.mjs'

/** The release lines that are supported beside the oldest, which is the one that the package is built with. */
export const NODE_VERSIONS = ['22', '24', '26']

const AVA = 'node_modules/ava/entrypoints/cli.mjs'

/**
 * The path of a Node of this version, such as `24` or `24.1.0`. It is fetched when it is not there yet.
 *
 * @throws {StageFailure} when npm has none, or cannot be reached
 */
export async function nodeOf(version) {
  if (!/^\d+(\.\d+){0,2}$/.test(version)) {
    throw new StageFailure('Node', version, 'nothing done: versions are numbers, such as 24', '')
  }
  const name = `node-${process.platform}-${process.arch}`
  const folder = `${root}.cache/node-${version}`
  const path = `${folder}/node_modules/${name}/bin/node`
  if (!existsSync(path)) {
    const quietly = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error']
    await runStage(`Node ${version}`, 'npm', ['install', ...quietly, '--prefix', folder, `${name}@${version}`])
  }
  return path
}

/** What runs ava with a Node: a command, its arguments and its environment, with that Node before others. */
export function avaWith(node, args) {
  return [node, [AVA, ...args], { PATH: `${dirname(node)}${delimiter}${process.env.PATH}` }]
}
