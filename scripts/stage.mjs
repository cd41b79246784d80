// Runs the named steps of a longer command one after the other and stops at the first that fails. It owns how a step is announced,
// run and timed, and may not know what any step is for. Node's own modules only: it runs before anything is installed.

import { spawn } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The root of the repository, where every step runs. */
export const root = fileURLToPath(new URL('../', import.meta.url))

/** A step that ended with another exit code than 0. */
export class StageFailure extends Error {
  constructor(stage, command, ending, output) {
    super(`stage "${stage}" failed: \`${command}\` ended with ${ending}`)
    this.stage = stage
    this.output = output
  }
}

/**
 * Runs one command with its output shown as it comes, and answers that output. A quiet one shows only what it complains of; `env` adds to
 * its environment.
 *
 * @throws {StageFailure} when the command fails or cannot be started
 */
export async function runStage(stage, command, args, { quiet = false, env = {} } = {}) {
  const line = [command, ...args].join(' ')
  console.log(`\n── ${stage}: ${line}`)
  const started = performance.now()
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: environment(env) })
  const chunks = []
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ]) {
    from.on('data', (chunk) => {
      chunks.push(chunk)
      if (!quiet || to === process.stderr) to.write(chunk)
    })
  }
  const ending = await new Promise((resolve) => {
    child.once('error', (error) => resolve(startFailure(command, error)))
    child.once('close', (code, signal) => resolve(signal ?? code))
  })
  const output = Buffer.concat(chunks).toString()
  if (ending !== 0) {
    throw new StageFailure(stage, line, typeof ending === 'number' ? `exit code ${ending}` : ending, output)
  }
  console.log(`── ${stage}: done in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  return output
}

/** Installs exactly what the lockfile names, unless what is installed is newer than the lockfile. */
export async function installIfNeeded() {
  const installed = `${root}node_modules/.package-lock.json`
  const wanted = `${root}package-lock.json`
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(wanted).mtimeMs) return
  await runStage('install', 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
}

/** The caller's, and colours off, so that the counts in the output read the same everywhere; installed tools found first. */
function environment(more) {
  const env = { ...process.env, ...more }
  return {
    ...env,
    PATH: `${root}node_modules/.bin:${env.PATH}`,
    NO_COLOR: '1',
    FORCE_COLOR: '0',
    CARGO_TERM_COLOR: 'never',
  }
}

function startFailure(command, error) {
  if (error.code !== 'ENOENT') return error.message
  const remedy = command === 'cargo' ? 'install Rust stable with rustup' : `install ${command}`
  return `"${command}" not found on PATH: ${remedy}`
}
