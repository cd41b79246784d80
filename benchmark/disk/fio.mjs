// @ts-check
// fio as something that takes tasks: it is started for each, because it does one thing and ends.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { placed } from '../harness/process.mjs'

const execute = promisify(execFile)
const percentile = (/** @type {Record<string, number>} */ of, /** @type {string} */ name) => of[name] ?? 0

/** @param {string} file @param {import('../harness/process.mjs').Place} place @param {string[]} more options of this fio */
export async function startFio(file, place, more = []) {
  /** @param {{ depth: number, seconds: number }} task */
  async function run({ depth, seconds }) {
    // fio knows whole seconds only; it is stopped by the number of reads in none of them.
    const options = [
      '--name=random-reads',
      `--filename=${file}`,
      '--rw=randread',
      '--bs=4k',
      '--direct=1',
      '--readonly',
    ]
    const how = ['--ioengine=io_uring', `--iodepth=${depth}`, '--norandommap', '--randrepeat=0', '--time_based']
    const output = [`--runtime=${Math.round(seconds * 1e3)}ms`, '--output-format=json', '--percentile_list=50:99:99.9']
    const [program, ...args] = placed(['fio', ...options, ...how, ...more, ...output], place)
    const { stdout } = await execute(program, args)
    const [job] = JSON.parse(stdout).jobs
    const { read } = job
    const cpuNs = ((job.usr_cpu + job.sys_cpu) / 100) * job.job_runtime * 1e6
    const latency = read.clat_ns.percentile
    return {
      requests: read.total_ios,
      requests_per_second: read.iops,
      latency_ns: {
        p50: percentile(latency, '50.000000'),
        p99: percentile(latency, '99.000000'),
        p999: percentile(latency, '99.900000'),
      },
      server: { cpu_ns: cpuNs, main_thread_cpu_ns: cpuNs },
    }
  }
  return { pid: 0, run, stop: async () => {} }
}
