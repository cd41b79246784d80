// Bundles what tsc emitted to dist/ into dist/bundle/, the files that are published. Importing the package reads one of them: in Node's loader
// another file costs more than half of the text does. launch.js, which the first launch reads, and worker threads too, takes what both have
// in common from index.js, so that every class and every piece of state is there once. It owns dist/bundle/.

import { rmSync } from 'node:fs'
import { build } from 'esbuild'

const SETTINGS = {
  absWorkingDir: `${import.meta.dirname}/../dist`,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  logLevel: 'warning',
}

/** The text of each half and of what both have in common, and the names of it that launch.js takes. */
async function split() {
  const { outputFiles } = await build({
    ...SETTINGS,
    entryPoints: ['index.js', 'launch.js'],
    splitting: true,
    chunkNames: 'shared',
    outdir: 'halves',
    write: false,
  })
  const text = (name) => outputFiles.find(({ path }) => path.endsWith(`/halves/${name}.js`)).text
  const launch = text('launch')
  const [, names] = launch.match(/import\{([^}]+)\}from"\.\/shared\.js"/)
  return { index: text('index'), launch, shared: text('shared'), names }
}

/** Writes one file: `contents`, with these modules in place of what it imports by their names. */
async function write(name, contents, modules, external) {
  const inPlace = {
    name: 'in place',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^in place:/ }, ({ path }) => ({ path, namespace: 'in place' }))
      onResolve({ filter: /^\.\/shared\.js$/ }, () => ({ path: 'in place:shared', namespace: 'in place' }))
      onLoad({ filter: /.*/, namespace: 'in place' }, ({ path }) => ({
        contents: modules[path.slice('in place:'.length)],
      }))
    },
  }
  await build({ ...SETTINGS, stdin: { contents }, plugins: [inPlace], external, outfile: `bundle/${name}.js` })
}

rmSync(`${SETTINGS.absWorkingDir}/bundle`, { recursive: true, force: true })
const { index, launch, shared, names } = await split()
const shares = `export * from 'in place:index'
import { RinglineBuilder } from 'in place:index'
import { ${names} } from './shared.js'
Object.defineProperty(RinglineBuilder, 'shared', { value: { ${names} } })`
const takes = `import { RinglineBuilder } from './index.js'
export const { ${names} } = RinglineBuilder.shared`
await write('index', shares, { index, shared }, ['./launch.js'])
await write('launch', launch, { shared: takes }, ['./index.js'])
await build({ ...SETTINGS, entryPoints: ['worker-entry.js'], external: ['./launch.js'], outdir: 'bundle' })
