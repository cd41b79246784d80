// Where io_uring cannot be used, launching says why in words, with a code for each reason. The refusals here are real: filters as
// container runtimes install them, and limits of the process. What the kernel's own sysctl and age look like is in probe.rs.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { ending } from './serving.js'

const NOBODY = 65534
const [SETUP, ENTER, REGISTER] = [425, 426, 427]
const [EPERM, EIO, ENOSYS] = [1, 5, 38]

/** Makes one system call answer an errno, and becomes the program that is named behind both. */
const filter = `
import ctypes, os, struct, sys
call, errno, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
class Filter(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('statements', ctypes.c_void_p)]
statement = lambda code, yes, no, value: struct.pack('HBBI', code, yes, no, value)
# Load the number of the call; is it this one? Then the errno, else allow.
code = statement(0x20, 0, 0, 0) + statement(0x15, 0, 1, call) + statement(6, 0, 0, 0x50000 | errno) + statement(6, 0, 0, 0x7fff0000)
memory = ctypes.create_string_buffer(code)
libc = ctypes.CDLL(None, use_errno=True)
no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
assert libc.prctl(set_seccomp, mode_filter, ctypes.byref(Filter(4, ctypes.addressof(memory)))) == 0
os.execv(program[0], program)
`

type Outcome = [left: number, code: string, message: string]

/** What launches with few descriptors left have come to, of an unprivileged user, who may not raise the limit. */
async function withFewDescriptors(t: ExecutionContext, ...args: string[]): Promise<Outcome[]> {
  const fixture = fileURLToPath(new URL('./fixtures/few-descriptors.js', import.meta.url))
  const command = ['--nofile=120:120', process.execPath, fixture, ...args]
  const child = spawn('prlimit', command, { stdio: ['ignore', 'pipe', 'pipe'], uid: NOBODY })
  t.teardown(() => void child.kill('SIGKILL'))
  const { code, output } = await ending(child)
  t.is(code, 0, output)
  const outcomes = JSON.parse(output) as Outcome[]
  for (const [left, code, message] of outcomes.filter(([, code]) => code !== 'launched')) {
    t.is(code, 'ERR_RINGLINE_RESOURCE_LIMIT', `${left} left: ${message}`)
    t.regex(message, /RLIMIT_NOFILE.*ulimit -n/, `${left} left`)
  }
  return outcomes
}

/** What the fixture that launches a server says under a program that becomes it. */
async function launchUnder(t: ExecutionContext, command: string, args: string[], uid?: number): Promise<string> {
  const fixture = fileURLToPath(new URL('./fixtures/bind.js', import.meta.url))
  const all = [...args, process.execPath, fixture, '127.0.0.1:0']
  const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'], ...(uid === undefined ? {} : { uid }) })
  t.teardown(() => void child.kill('SIGKILL'))
  return (await ending(child)).output
}

/** Since Node 26 the event loop has a ring of its own: Node itself ends where entering one is forbidden, before anything else is said. */
const nodeNeedsEnter = Number.parseInt(process.versions.node, 10) >= 26

const filters = [
  { call: SETUP, errno: EPERM, name: 'io_uring_setup' },
  { call: SETUP, errno: ENOSYS, name: 'io_uring_setup' },
  { call: ENTER, errno: EPERM, name: 'io_uring_enter' },
  { call: REGISTER, errno: EPERM, name: 'io_uring_register' },
]
for (const { call, errno, name } of filters.filter(({ call }) => call !== ENTER || !nodeNeedsEnter)) {
  test(`a filter that answers ${errno} to ${name} is named, with the remedy`, async (t) => {
    const output = await launchUnder(t, 'python3', ['-c', filter, String(call), String(errno)])
    t.regex(output, /^ERR_RINGLINE_BLOCKED_BY_SECCOMP .*a seccomp filter blocks io_uring: /)
    t.regex(output, new RegExp(`${name} answered`))
    t.regex(output, /docker run --security-opt seccomp=/)
  })
}

test('what nobody could foresee is told by its call and its errno', async (t) => {
  const output = await launchUnder(t, 'python3', ['-c', filter, String(SETUP), String(EIO)])
  t.regex(
    output,
    /^ERR_RINGLINE_IO_URING_UNAVAILABLE .*io_uring cannot be used: io_uring_setup answered Input\/output error/,
  )
})

test('a limit of open files that is too low is named, with what is needed', async (t) => {
  const output = await launchUnder(t, 'sh', ['-c', 'ulimit -n 200 && exec "$@"', 'sh'], NOBODY)
  t.regex(output, /^ERR_RINGLINE_RESOURCE_LIMIT .*\d+ file descriptors are needed, .*RLIMIT_NOFILE.* 200 .*ulimit -n/)
})

for (const delivery of ['threadsafe', 'inline']) {
  test(`with few descriptors left, ${delivery}, a launch stands or fails with one code, and leaves nothing`, async (t) => {
    const codes = (await withFewDescriptors(t, delivery)).map(([, code]) => code)
    // Of a ring, its doorbell and three sockets none can be had for nothing.
    t.true(codes.length >= 8)
    t.true(codes.slice(0, -3).every((code) => code !== 'launched'))
    t.deepEqual(codes.slice(-3), ['launched', 'launched', 'launched'])
  })
}

test('with few descriptors left, a thread of its own stands or fails with the same code', async (t) => {
  const tried = [0, 1, 3, 6, 12, 20, 80].map((left) => withFewDescriptors(t, 'threads', String(left)))
  const codes = (await Promise.all(tried)).map(([outcome]) => outcome?.[1])
  t.is(codes[0], 'ERR_RINGLINE_RESOURCE_LIMIT')
  t.is(codes[1], 'ERR_RINGLINE_RESOURCE_LIMIT')
  t.is(codes.at(-1), 'launched')
})
