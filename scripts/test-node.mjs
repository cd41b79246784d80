// Runs the built JavaScript tests under other versions of Node.js: `npm run test:node -- 22 24 26`, or without versions under all that are
// supported. It owns the order; a version that fails does not keep the others from being tried.

import { avaWith, NODE_VERSIONS, nodeOf } from './node-versions.mjs'
import { runStage, StageFailure } from './stage.mjs'

const versions = process.argv.length > 2 ? process.argv.slice(2) : NODE_VERSIONS
const failed = []
for (const version of versions) {
  try {
    const [command, args, env] = avaWith(await nodeOf(version), [])
    await runStage(`JavaScript tests on Node ${version}`, command, args, { env })
  } catch (error) {
    if (!(error instanceof StageFailure)) throw error
    console.error(`\n${error.message}`)
    failed.push(version)
  }
}
console.log(failed.length === 0 ? `\nNode ${versions.join(', ')}: all passed` : `\nfailed on Node ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
