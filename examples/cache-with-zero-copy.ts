// A cache whose values are sent from where they lie. They live in a MemoryRegion that the workers register with the kernel; a hit sends a
// short header and, behind it, the value itself. Protocol: "SET key length\r\n<value>" and "GET key\r\n".

import { ConfigBuilder, type ConnCtx, MemoryRegion, ParseResult, RinglineBuilder } from 'ringline'

const region = MemoryRegion.allocate(64 * 1024 * 1024)
const values = new Map<string, Buffer>()
let used = 0

/** Puts a value into the region. Places are never used again, so that no value changes while the kernel sends it. */
function store(key: string, value: Buffer): boolean {
  if (used + value.length > region.byteLength) return false
  const place = region.buffer.subarray(used, used + value.length)
  place.set(value)
  values.set(key, place)
  used += value.length
  return true
}

function answer(conn: ConnCtx, key: string): Promise<number> {
  const value = values.get(key)
  if (value === undefined) return conn.send('$-1\r\n')
  return conn.sendParts().copy(`$${value.length}\r\n`).guard(value).copy('\r\n').submit()
}

class Cache {
  static createForWorker(): Cache {
    return new Cache()
  }

  async onAccept(conn: ConnCtx): Promise<void> {
    let reply: () => Promise<number>
    const readCommand = (data: Buffer): number => {
      const end = data.indexOf('\r\n')
      if (end < 0) return ParseResult.NeedMore
      const [verb, key = '', length = ''] = data.toString('utf8', 0, end).split(' ')
      if (verb === 'GET') {
        reply = () => answer(conn, key)
        return ParseResult.Consumed(end + 2)
      }
      const bytes = Number(length)
      if (verb !== 'SET' || !Number.isInteger(bytes) || bytes < 1) throw new Error('protocol error')
      const from = end + 2
      if (data.length < from + bytes) return ParseResult.NeedMore
      const stored = store(key, data.subarray(from, from + bytes))
      reply = () => conn.send(stored ? '+OK\r\n' : '-ERR the cache is full\r\n')
      return ParseResult.Consumed(from + bytes)
    }
    while (await conn.withData(readCommand)) await reply!()
  }
}

const port = Number(process.argv[2] ?? 7881)
const config = new ConfigBuilder().registeredRegions([region]).build()
const server = await new RinglineBuilder(config).bind({ address: '127.0.0.1', port }).launch(Cache)
console.log(`listening on ${server.boundAddr.address}:${server.boundAddr.port}`)
process.once('SIGINT', () => void server.shutdown())
