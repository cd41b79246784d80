// Stock clients talk to the servers: Python's sockets, nc, and the Redis tools where they are installed.

import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { serve } from './serving.js'

const run = promisify(execFile)
const has = (command: string) => spawnSync(command, ['--version']).error === undefined
const echo = { onData: (conn: { sendNowait(data: Buffer): number }, chunk: Buffer) => void conn.sendNowait(chunk) }

const python = `
import os, socket, sys, threading
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
data = os.urandom(1 << 20)
got = bytearray()
def read():
    while len(got) < len(data):
        got.extend(s.recv(65536))
reader = threading.Thread(target=read)
reader.start()
s.sendall(data)
reader.join()
s.shutdown(socket.SHUT_WR)
print(bytes(got) == data, s.recv(1) == b'')
`

test.serial("Python's sockets", async (t) => {
  const server = await serve(t, echo)
  const { stdout } = await run('python3', ['-c', python, String(server.boundAddr.port)])
  t.is(stdout, 'True True\n')
})

const maybe = (command: string) => (has(command) ? test.serial : test.serial.skip)

maybe('nc')('nc', async (t) => {
  const server = await serve(t, echo)
  const child = run('nc', ['-N', '127.0.0.1', String(server.boundAddr.port)])
  child.child.stdin?.end('through nc\n')
  t.is((await child).stdout, 'through nc\n')
})
