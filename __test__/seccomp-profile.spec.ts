// The seccomp profile for containers, and the script that derives one from a runtime's default.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import test from 'ava'

interface Rule {
  names: string[]
  action: string
}

const calls = ['io_uring_enter', 'io_uring_register', 'io_uring_setup']
const committed = readFileSync('docs/seccomp/ringline.json', 'utf8')

function derive(profile: unknown) {
  const input = JSON.stringify(profile)
  return spawnSync(process.execPath, ['docs/seccomp/allow-io-uring.mjs'], { input, encoding: 'utf8' })
}

function rulesOf(text: string): Rule[] {
  return (JSON.parse(text) as { syscalls: Rule[] }).syscalls
}

test('the committed profile allows the three calls in one rule and refuses what it does not name', (t) => {
  const rules = rulesOf(committed)
  t.deepEqual(rules.at(-1), { names: calls, action: 'SCMP_ACT_ALLOW' })
  t.is(rules.filter((rule) => rule.names.some((name) => calls.includes(name))).length, 1)
  t.is((JSON.parse(committed) as { defaultAction: string }).defaultAction, 'SCMP_ACT_ERRNO')
})

test('the committed profile has no condition that containerd would take as unconditional', (t) => {
  for (const field of ['includes', 'excludes', 'archMap', 'minKernel']) t.false(committed.includes(`"${field}"`), field)
})

test('deriving adds the three calls and changes nothing else', (t) => {
  const profile = JSON.parse(committed) as { syscalls: Rule[] }
  const without = { ...profile, syscalls: profile.syscalls.slice(0, -1) }
  t.deepEqual(JSON.parse(derive(without).stdout), profile)
})

test('deriving keeps the rules of an ordinary container and drops those of a privileged one', (t) => {
  const derived = derive({
    defaultAction: 'SCMP_ACT_ERRNO',
    archMap: [{ architecture: 'SCMP_ARCH_X86_64' }],
    syscalls: [
      { names: ['read', 'io_uring_setup'], action: 'SCMP_ACT_ALLOW' },
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38, excludes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['s390_pci_mmio_read'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['s390x'] } },
    ],
  })
  t.deepEqual(rulesOf(derived.stdout), [
    { names: ['read'], action: 'SCMP_ACT_ALLOW' },
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
    { names: calls, action: 'SCMP_ACT_ALLOW' },
  ] as Rule[])
})

test('what is no profile is refused with words', (t) => {
  const refused = derive({ name: 'something else' })
  t.is(refused.status, 1)
  t.regex(refused.stderr, /no seccomp profile/)
})
