// The guest: a virtual machine under software emulation, with the oldest supported kernel, an NVMe controller and no network. It owns
// the emulator's process, its time limit and its temporary directory; what is run inside is the caller's.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeImage, markers } from './image.mjs'
import { find, kernelImage, missing } from './tools.mjs'

/** Size in bytes of each drive that commands may write to. */
const SCRATCH_BYTES = 64 * 1024 * 1024

/** The logical block sizes of those drives, in bytes: they are the namespaces 2 and 3 of the controller. Namespace 1 is the root. */
const SCRATCH_BLOCKS = [512, 4096]

/** The guest could not be started, did not come up, or ran out of time. */
export class GuestFailure extends Error {}

/**
 * Starts a guest, runs shell lines in it one after the other, and stops it.
 *
 * The drives that commands may write to are `/dev/nvme0n2` (blocks of 512 bytes) and `/dev/nvme0n3` (4096), their generic character
 * devices `/dev/ng0n2` and `/dev/ng0n3`.
 *
 * @param files pairs of a path here and a path in the guest
 * @param commands shell lines
 * @param seconds how long all of it may take
 * @param onOutput gets each line of output as it comes, with the number of its command
 * @returns the exit status of each command
 * @throws {GuestFailure} when something is missing, or not every command ended in time
 */
export async function runInGuest({ files = [], commands, seconds = 120, onOutput = (line) => console.log(line) }) {
  const lacking = missing()
  if (lacking.length > 0) throw new GuestFailure(lacking.join('\n'))
  const directory = mkdtempSync(join(tmpdir(), 'ringline-guest-'))
  try {
    const token = randomBytes(8).toString('hex')
    const image = join(directory, 'root.img')
    const work = join(directory, 'root')
    mkdirSync(work)
    makeImage({ image, work, files, commands, token })
    const drives = [
      drive(1, image, 512),
      ...SCRATCH_BLOCKS.map((block, index) => drive(index + 2, scratch(directory, block), block)),
    ]
    const statuses = []
    const kernelLog = join(directory, 'kernel.log')
    const ended = await emulate({ drives, kernelLog, seconds, onLine: reader(token, statuses, onOutput) })
    if (statuses.length === commands.length) return statuses
    const at = `${statuses.length} of ${commands.length} commands had ended`
    throw new GuestFailure(`${ended}; ${at}. The last lines of its kernel:\n${lastLines(kernelLog)}`)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** An empty drive. */
function scratch(directory, block) {
  const path = join(directory, `scratch-${block}.img`)
  writeFileSync(path, '')
  truncateSync(path, SCRATCH_BYTES)
  return path
}

/** A namespace of the controller. They are all on one, because the kernel numbers controllers in no promised order. */
function drive(namespace, path, block) {
  const sizes = `logical_block_size=${block},physical_block_size=${block}`
  return [
    ...['-drive', `if=none,id=drive${namespace},format=raw,file=${path}`],
    ...['-device', `nvme-ns,drive=drive${namespace},bus=nvme,nsid=${namespace},${sizes}`],
  ]
}

/** Sorts lines into output and markers. */
function reader(token, statuses, onOutput) {
  const { begins, ends } = markers(token)
  return (line) => {
    // A command whose last line lacks its end has the marker behind it.
    const mark = line.indexOf(ends)
    if (mark >= 0) {
      if (mark > 0) onOutput(line.slice(0, mark), statuses.length)
      statuses.push(Number(line.slice(mark + ends.length).split(' ')[1]))
    } else if (!line.startsWith(begins)) {
      onOutput(line, statuses.length)
    }
  }
}

/** Runs the emulator to its end and answers how it ended. */
async function emulate({ drives, kernelLog, seconds, onLine }) {
  const child = spawn(
    find('qemu-system-x86_64'),
    [
      ...[
        '-nodefaults',
        '-no-user-config',
        '-no-reboot',
        '-display',
        'none',
        '-machine',
        'q35',
        '-accel',
        'tcg,thread=multi',
      ],
      ...['-cpu', 'max', '-smp', '2', '-m', '1024', '-nic', 'none', '-kernel', kernelImage()],
      // Without these the kernel measures the clock against emulated timers, and works around faults of real processors.
      ...[
        '-append',
        'root=/dev/nvme0n1 rw init=/init console=ttyS0 panic=-1 mitigations=off no_timer_check tsc=reliable quiet',
      ],
      ...['-serial', `file:${kernelLog}`, '-serial', 'stdio'],
      ...['-device', 'nvme,id=nvme,serial=ringline', ...drives.flat()],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let late = false
  const limit = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, seconds * 1000)
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()
    for (const line of lines) onLine(line.replace(/\r$/, ''))
  })
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    complaints += text
  })
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        if (late) resolve(`the guest was stopped after ${seconds} s`)
        else resolve(`the guest ended with ${signal ?? `exit code ${code}`}${complaints && `: ${complaints.trim()}`}`)
      })
    })
  } finally {
    clearTimeout(limit)
  }
}

function lastLines(path) {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-20).join('\n')
  } catch {
    return '(none)'
  }
}
