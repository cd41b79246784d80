// The main job in one command, from a fresh clone: installs, builds, then runs the TypeScript echo server under a real load for a few
// seconds (benchmark/tcp/start.mjs). It owns the order of those steps and may not measure anything itself.

import { spawn } from 'node:child_process'
import { installIfNeeded, root, runStage, StageFailure } from './stage.mjs'

try {
  await installIfNeeded()
  await runStage('native build', 'npm', ['run', '--silent', 'build:native'])
  await runStage('types and code', 'npm', ['run', '--silent', 'build:ts'])
  console.log()
  const child = spawn(process.execPath, ['benchmark/tcp/start.mjs'], { cwd: root, stdio: 'inherit' })
  child.once('close', (code) => {
    process.exitCode = code ?? 1
  })
} catch (error) {
  if (!(error instanceof StageFailure)) throw error
  console.error(`\n${error.message}`)
  process.exitCode = 1
}
