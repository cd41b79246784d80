// The disk that a guest starts from: an ext4 file system with busybox, the files that were asked for with the shared libraries they
// need, and an init that runs the commands. It owns the layout of that disk and the lines that init says; machine.mjs reads them.

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { find } from './tools.mjs'

/** What init writes before the number of a command that begins, and before the number and status of one that has ended. */
export const markers = (token) => ({ begins: `@${token} begins `, ends: `@${token} ends ` })

/** Room on the disk beside the files, for what tests write. */
const FREE_BYTES = 512 * 1024 * 1024

/**
 * Makes the image.
 *
 * @param image path of the image file to make
 * @param work an empty directory to build in; it is removed again
 * @param files pairs of a path here and a path in the guest; directories are copied whole
 * @param commands shell lines, each run in a shell of its own
 * @param token what the marker lines begin with, so that no output can be taken for one
 */
export function makeImage({ image, work, files, commands, token }) {
  for (const directory of ['bin', 'dev', 'proc', 'sys', 'tmp', 'run', 'etc', 'root'])
    mkdirSync(join(work, directory), { recursive: true })
  copyFileSync(find('busybox'), join(work, 'bin/busybox'))
  let bytes = 0
  for (const [from, to] of files) bytes += copy(from, join(work, to), work)
  commands.forEach((command, index) => {
    script(join(work, `run/${index}`), `${command}\n`)
  })
  script(join(work, 'init'), init(commands.length, token))
  const megabytes = Math.ceil((bytes * 1.1 + FREE_BYTES) / (1024 * 1024))
  writeFileSync(image, '')
  truncateSync(image, megabytes * 1024 * 1024)
  const options = ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-E', 'lazy_itable_init=1', '-m', '0', '-d', work]
  execFileSync(find('mke2fs'), [...options, image], { stdio: ['ignore', 'inherit', 'inherit'] })
  rmSync(work, { recursive: true })
}

/** Copies a file with the libraries it needs, or a directory, and answers how many bytes that is. */
function copy(from, to, work) {
  if (existsSync(to)) return 0
  mkdirSync(dirname(to), { recursive: true })
  if (statSync(from).isDirectory()) {
    cpSync(from, to, { recursive: true, verbatimSymlinks: true })
    return Number(execFileSync('du', ['-sb', to], { encoding: 'utf8' }).split('\t')[0])
  }
  copyFileSync(from, to)
  // Debug information would be most of the disk, and nobody debugs there.
  if (isElf(from) && find('strip') !== undefined) execFileSync('strip', ['--strip-debug', to], { stdio: 'ignore' })
  let bytes = statSync(to).size
  for (const library of libraries(from)) bytes += copy(realpathSync(library), join(work, library), work)
  return bytes
}

/** The shared libraries of a program or library, its loader among them. */
function libraries(path) {
  if (!isElf(path)) return []
  try {
    const listed = execFileSync('ldd', [path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return [...listed.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, library]) => library)
  } catch {
    return [] // Linked statically.
  }
}

function isElf(path) {
  return execFileSync('head', ['-c', '4', path]).equals(Buffer.from('\x7fELF'))
}

function script(path, text) {
  writeFileSync(path, `#!/bin/busybox sh\n${text}`)
  chmodSync(path, 0o755)
}

/**
 * The first process of the guest. Commands write to the second serial port, apart from the kernel's own messages on the first. The
 * temporary directory lies on the disk, because a memory file system of this kernel takes no direct I/O.
 */
function init(count, token) {
  const { begins, ends } = markers(token)
  return `
/bin/busybox mkdir -p /dev /proc /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox --install -s /bin
/bin/busybox mkdir -p /dev/shm
/bin/busybox mount -t tmpfs shm /dev/shm
export PATH=/bin:/usr/bin:/usr/local/bin HOME=/root TMPDIR=/tmp RUST_BACKTRACE=1 NO_COLOR=1 FORCE_COLOR=0 CARGO_TERM_COLOR=never
stty -F /dev/ttyS1 raw 2>/dev/null
exec </dev/null >/dev/ttyS1 2>&1
ip link set lo up
ulimit -l unlimited
ulimit -n 1048576
cd /
index=0
while [ $index -lt ${count} ]; do
  echo "${begins}$index"
  /run/$index
  echo "${ends}$index $?"
  index=$((index + 1))
done
sync
poweroff -f
`
}
