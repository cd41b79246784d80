// What the guest is made of and started with: the emulator, the kernel, the tools that build its disk. It owns the answer to "is it all
// there?" and installs nothing; `.ci/run` does.

import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root } from '../stage.mjs'

/** Where `scripts/guest/fetch-kernel.sh` puts the kernel. */
const KERNEL_DIRECTORY = join(root, '.cache/guest')

/** Programs, and the Debian packages that have them. */
const PROGRAMS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  busybox: 'busybox-static',
  mke2fs: 'e2fsprogs',
  ldd: 'libc-bin',
}

/** Debian keeps some of them where only root looks. */
const DIRECTORIES = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin']

/** The full path of a program, or undefined. */
export function find(program) {
  return DIRECTORIES.map((directory) => join(directory, program)).find((path) => existsSync(path))
}

/** The newest fetched kernel image, or the one that RINGLINE_GUEST_KERNEL names; undefined when there is none. */
export function kernelImage() {
  const named = process.env.RINGLINE_GUEST_KERNEL
  if (named !== undefined) return existsSync(named) ? named : undefined
  if (!existsSync(KERNEL_DIRECTORY)) return undefined
  const images = readdirSync(KERNEL_DIRECTORY).filter((name) => name.startsWith('vmlinuz-'))
  images.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  const newest = images.at(-1)
  return newest === undefined ? undefined : join(KERNEL_DIRECTORY, newest)
}

/** What is missing for a guest, one sentence each; empty when it can be started. */
export function missing() {
  const sentences = []
  if (process.arch !== 'x64' || process.platform !== 'linux') {
    sentences.push(
      `the guest is an x86-64 Linux with the test binaries of this machine, which is ${process.platform} ${process.arch}`,
    )
  }
  for (const [program, name] of Object.entries(PROGRAMS)) {
    if (find(program) === undefined) sentences.push(`${program} is not installed: apt-get install ${name}`)
  }
  if (kernelImage() === undefined) {
    sentences.push(
      'there is no guest kernel: scripts/guest/fetch-kernel.sh fetches Debian 12’s, or name one in RINGLINE_GUEST_KERNEL',
    )
  }
  return sentences
}
