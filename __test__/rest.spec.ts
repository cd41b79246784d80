// What a server takes of the machine when it has nothing to do: no CPU time, and the memory of a burst is given back.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { start, until } from './serving.js'

const MIB = 1024 * 1024

/** Starts a fixture that prints its port first; answers that port and a way to wait for a line. */
async function listening(t: ExecutionContext, fixture: string, args: string[] = [], flags: string[] = []) {
  const child = start(t, fixture, args, { flags })
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += String(chunk)
  })
  await until(() => text.includes('\n'))
  return { child, port: Number.parseInt(text, 10), says: (line: string) => until(() => text.includes(`\n${line}\n`)) }
}

async function dial(t: ExecutionContext, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

function residentBytes({ pid }: ChildProcess): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

/** How often the threads of a process have gone to sleep by themselves, and for how many nanoseconds they have run. */
function activity({ pid }: ChildProcess): { sleeps: number; ranNs: number } {
  const total = { sleeps: 0, ranNs: 0 }
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
    total.sleeps += Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1])
    total.ranNs += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
  }
  return total
}

test.serial('an idle server wakes for nothing and uses no CPU time', async (t) => {
  const { child, port } = await listening(t, 'lifetime', ['run'])
  const sockets = await Promise.all(Array.from({ length: 50 }, () => dial(t, port)))
  for (const socket of sockets) socket.write('.')
  await Promise.all(sockets.map((socket) => once(socket, 'data')))
  // Compilers and collectors of a process that was busy a moment ago finish their work first.
  for (;;) {
    const before = activity(child)
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const after = activity(child)
    const [sleeps, ranNs] = [after.sleeps - before.sleeps, after.ranNs - before.ranNs]
    t.log(`in 2 s: ${sleeps} times asleep, ${ranNs} ns of CPU time`)
    if (sleeps <= 2 && ranNs < 1_000_000) break
  }
  for (const socket of sockets) socket.write('!')
  await Promise.all(sockets.map((socket) => once(socket, 'data')))
  t.is(child.exitCode, null)
})

// What V8 does by itself after eight seconds is switched off in the second.
for (const [title, args, flags] of [
  ['the memory of a burst is given back, although the worker sleeps when JavaScript lets go of it', [], []],
  ['the memory of a burst is collected when it is over', ['uncollected'], ['--no-memory-reducer']],
] as const) {
  test.serial(title, async (t) => {
    const { child, port, says } = await listening(t, 'keeping', [...args], [...flags])
    const socket = await dial(t, port)
    const before = residentBytes(child)
    const burst = 128 * MIB
    const piece = Buffer.alloc(MIB, 'burst')
    for (let sent = 0; sent < burst; sent += piece.length) if (!socket.write(piece)) await once(socket, 'drain')
    await until(() => residentBytes(child) - before > 0.9 * burst)
    child.stdin?.write('let go\n')
    await says('let go')
    await until(() => residentBytes(child) - before < 0.3 * burst)
    t.is(child.exitCode, null)
  })
}
