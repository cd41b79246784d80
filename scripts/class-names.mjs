// @ts-check
// `npm run postbundle`, which npm runs after each `npm run bundle`: gives classes of dist/bundle/ the names they have in the sources. The
// bundler makes `var Config = class _Config` of a class that makes objects of itself, and console.log would show that name.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const bundle = new URL('../dist/bundle/', import.meta.url)
for (const file of readdirSync(bundle)) {
  const path = new URL(file, bundle)
  const text = readFileSync(path, 'utf8')
  const renamed = [...text.matchAll(/\b(\w+)=class (_+)\1\b/g)].map(([, name, prefix]) => `${prefix}${name}`)
  if (renamed.length === 0) continue
  const names = new RegExp(`\\b(?:${renamed.join('|')})\\b`, 'g')
  writeFileSync(
    path,
    text.replace(names, (name) => name.replace(/^_+/, '')),
  )
}
