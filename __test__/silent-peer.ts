// A peer that answers no connects, for tests of connects that are pending.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { ExecutionContext } from 'ava'

/** A listener that never accepts, and whose backlog is full: it answers no further connects. */
const silent = `
import socket, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(0)
waiting = [socket.socket() for _ in range(4)]
for client in waiting:
    client.settimeout(0.05)
    try: client.connect(listener.getsockname())
    except OSError: pass
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
`

/** The address of a peer that does not answer. */
export async function blackHole(t: ExecutionContext): Promise<{ address: string; port: number }> {
  const child = spawn('python3', ['-c', silent], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => void child.kill('SIGKILL'))
  const [port] = await once(child.stdout, 'data')
  return { address: '127.0.0.1', port: Number(port) }
}
