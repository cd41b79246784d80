// Rolls the declarations that tsc emitted to dist/ up into index.d.ts, the one file that the types of the package are read from.
// With --check it writes nothing and fails when the committed file differs. It owns index.d.ts and may touch nothing else.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor'

const root = new URL('../', import.meta.url)
const target = new URL('index.d.ts', root)
// Buffer and NodeJS.ArrayBufferView are Node's: without the reference a program that names no `types` does not know them.
const notice =
  '// Made by `npm run types` from bindings/; change the sources and run it again.\n\n/// <reference types="node" />\n\n'

const config = ExtractorConfig.loadFileAndPrepare(fileURLToPath(new URL('api-extractor.json', root)))
let problems = 0
const result = Extractor.invoke(config, {
  localBuild: false,
  messageCallback(message) {
    message.handled = true
    if (message.logLevel !== 'error') return
    problems += 1
    const place = message.sourceFilePath === undefined ? '' : `${message.sourceFilePath}:${message.sourceFileLine}: `
    console.error(`${place}${message.text} (${message.messageId})`)
  },
})
if (!result.succeeded || problems > 0) {
  console.error('index.d.ts could not be made from the declarations in dist/.')
  process.exit(1)
}

const rolled = readFileSync(new URL('.cache/rollup/index.d.ts', root), 'utf8')
const made = notice + withoutPrivateMembers(withoutFileHeaders(rolled))
if (process.argv.includes('--check')) {
  if (readIfThere(target) !== made) {
    console.error('index.d.ts differs from the sources in bindings/: run `npm run types` and commit the result.')
    process.exit(1)
  }
} else {
  writeFileSync(target, made)
}

/** Of two doc comments in a row the first is the opening paragraph of a source file, which tells users of the package nothing. */
function withoutFileHeaders(text) {
  return text.replace(/^[ \t]*\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n(?=[ \t]*\/\*\*)/gm, '')
}

/**
 * How a class keeps its state is nobody's concern. One `#private` for all its private members, as tsc writes it for those with a #, keeps a
 * class from being mistaken for another of the same shape.
 */
function withoutPrivateMembers(text) {
  return text
    .replace(/^([ \t]+)(?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n[ \t]*)?private (?!constructor\b)[^;]*;\n/gm, '$1#private;\n')
    .replace(
      /^([ \t]+#private;\n)((?:(?!^\}|^export )[\s\S])*)/gm,
      (_, first, rest) => first + rest.replaceAll(first, ''),
    )
}

function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}
