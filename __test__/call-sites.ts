// Reads the log that V8 writes with --log-ic and --log-code: which places in the code have met objects of several shapes. Such a place looks
// properties up more slowly; one that is megamorphic (more than four shapes) asks a table of the whole program each time.

import { readFileSync } from 'node:fs'

/** Flags with which a process writes that log to `path`. */
export function logFlags(path: string): string[] {
  return ['--log-ic', '--log-code', '--no-logfile-per-isolate', `--logfile=${path}`]
}

/** What the places of some files have met. */
export interface CallSites {
  /** Changes of state that were seen in these files: none means that the log was not understood. */
  readonly transitions: number
  /** Places that have met several shapes, up to four. */
  readonly polymorphic: readonly string[]
  /** Places that have met more. */
  readonly megamorphic: readonly string[]
}

interface Code {
  start: number
  readonly size: number
  readonly name: string
}

/** The places in functions of the files whose address contains `files`. */
export function callSites(log: string, files: string): CallSites {
  const codes = new Map<number, Code>()
  const met = { P: new Set<string>(), N: new Set<string>() }
  let transitions = 0
  for (const line of readFileSync(log, 'latin1').split('\n')) {
    const fields = line.split(',')
    if (fields[0] === 'code-creation') {
      const [start, size, name] = [Number(fields[4]), Number(fields[5]), fields[6] ?? '']
      codes.set(start, { start, size, name })
    } else if (fields[0] === 'code-move') {
      const code = codes.get(Number(fields[1]))
      if (code === undefined) continue
      codes.delete(code.start)
      code.start = Number(fields[2])
      codes.set(code.start, code)
    } else if (fields[0]?.endsWith('IC')) {
      const [, at, , row, column, , state, , property] = fields
      const name = nameOf(codes, Number(at))
      if (!name?.includes(files)) continue
      transitions += 1
      if (state === 'P' || state === 'N') met[state].add(`${fields[0]} .${property} at ${row}:${column} of ${name}`)
    }
  }
  return { transitions, polymorphic: [...met.P], megamorphic: [...met.N] }
}

function nameOf(codes: ReadonlyMap<number, Code>, at: number): string | undefined {
  let name: string | undefined
  for (const code of codes.values()) if (at >= code.start && at < code.start + code.size) name = code.name
  return name
}
