#!/usr/bin/env node
// Takes a container runtime's default seccomp profile (JSON, from a file or standard input) and prints it with the three calls of
// io_uring allowed:
//
//   node docs/seccomp/allow-io-uring.mjs default.json > ringline.json
//
// Docker, Podman and CRI-O read profiles whose rules depend on the container's capabilities and processor ("includes", "excludes",
// "archMap"); containerd, and so Kubernetes on it, reads only plain ones and would take every such rule as unconditional. Therefore
// the result is plain: the rules that hold for a container with Docker's default capabilities on x86-64 and arm64. Every runtime
// reads that. This file may not judge the rest of the profile. Node's own modules only.

import { readFileSync } from 'node:fs'

const CALLS = ['io_uring_enter', 'io_uring_register', 'io_uring_setup']

/** What a container has unless it is given more or less. */
const CAPABILITIES = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

/** The processors ringline has prebuilt libraries for with their 32-bit modes, in the words of the rules and of the profile. */
const RULE_ARCHITECTURES = ['amd64', 'x86', 'x32', 'arm64', 'arm']
const ARCHITECTURES = ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32', 'SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']

const profile = JSON.parse(readFileSync(process.argv[2] ?? 0, 'utf8'))
if (!Array.isArray(profile.syscalls)) {
  console.error(
    'This is no seccomp profile of a container runtime: it has no "syscalls" list. Give the default profile as JSON.',
  )
  process.exit(1)
}

const rules = profile.syscalls.filter(holds).map(plain)
const plainProfile = {
  defaultAction: profile.defaultAction,
  defaultErrnoRet: profile.defaultErrnoRet ?? 1,
  architectures: ARCHITECTURES,
  syscalls: [...rules, { names: CALLS, action: 'SCMP_ACT_ALLOW' }].filter((rule) => rule.names.length > 0),
}
console.log(JSON.stringify(plainProfile, null, 2))

function holds({ includes = {}, excludes = {} }) {
  return (
    (includes.caps ?? []).every((name) => CAPABILITIES.includes(name)) &&
    !(excludes.caps ?? []).some((name) => CAPABILITIES.includes(name)) &&
    (!(includes.arches?.length > 0) || includes.arches.some((name) => RULE_ARCHITECTURES.includes(name))) &&
    !(excludes.arches ?? []).some((name) => RULE_ARCHITECTURES.includes(name))
  )
}

/** A call named by rules of different actions is refused by some runtimes, so the three leave every other rule. */
function plain({ names, action, errnoRet, args }) {
  const kept = names.filter((name) => !CALLS.includes(name)).sort()
  return { names: kept, action, ...(errnoRet == null ? {} : { errnoRet }), ...(args?.length > 0 ? { args } : {}) }
}
