// Checks that the Rust code compiles for every target that is published, without their standard libraries and linkers: a nightly toolchain
// with rust-src builds the former, and checking needs no linker. It owns the order; building and trying the libraries is up to the release workflow.

import { readFileSync } from 'node:fs'
import { root, runStage, StageFailure } from './stage.mjs'

const { napi } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const cargo = [
  '+nightly',
  'check',
  '-Zbuild-std=std,panic_unwind',
  '--target-dir',
  'target/targets',
  '-p',
  'ringline',
  '-p',
  'ringline-node',
]
try {
  for (const target of napi.targets) await runStage(target, 'cargo', [...cargo, '--target', target])
} catch (error) {
  if (!(error instanceof StageFailure)) throw error
  console.error(`\n${error.message}`)
  process.exitCode = 1
}
