#!/usr/bin/env node
// Takes a container runtime's default seccomp profile (JSON, a file or standard input) and prints it with the three calls of io_uring
// allowed and nothing else changed:
//
//   node docs/seccomp/allow-io-uring.mjs default.json > ringline.json
//
// It owns that one rule and may not judge the rest of the profile. Node's own modules only.

import { readFileSync } from 'node:fs'

const CALLS = ['io_uring_enter', 'io_uring_register', 'io_uring_setup']

const source = process.argv[2] ?? 0
const profile = JSON.parse(readFileSync(source, 'utf8'))
if (!Array.isArray(profile.syscalls)) {
  console.error('This is no seccomp profile of a container runtime: it has no "syscalls" list. Give the default profile as JSON.')
  process.exit(1)
}

// A call named by two rules of different actions is refused by some runtimes, so the calls leave every other rule first.
const others = profile.syscalls
  .map((rule) => ({ ...rule, names: rule.names.filter((name) => !CALLS.includes(name)) }))
  .filter((rule) => rule.names.length > 0)

const allowed = { names: CALLS, action: 'SCMP_ACT_ALLOW', comment: 'io_uring, for ringline' }
console.log(JSON.stringify({ ...profile, syscalls: [...others, allowed] }, null, 2))
