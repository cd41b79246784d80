// A name server in the manner of DNS: answers "A" questions from a table, over UDP. Run it with a port, then try
// `dig @127.0.0.1 -p 5353 one.example`.

import { type AsyncEventHandler, RinglineBuilder, type SocketAddress, type UdpCtx } from 'ringline'

const records = new Map([
  ['one.example', '192.0.2.1'],
  ['two.example', '192.0.2.2'],
])

const HEADER_BYTES = 12
const TYPE_A = 1
const CLASS_IN = 1
const ANSWER = 0x8400
const NO_SUCH_NAME = 3
const TTL_SECONDS = 60
/** In an answer: "the name of the question", which stands right behind the header. */
const SAME_NAME = 0xc000 | HEADER_BYTES

/** Reads the question: its name and type, and where it ends. Undefined when it is none. */
function readQuestion(query: Buffer): { name: string; type: number; end: number } | undefined {
  if (query.length < HEADER_BYTES || query.readUInt16BE(2) & 0x8000 || query.readUInt16BE(4) !== 1) return undefined
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let length = query[at]; length !== 0; length = query[at]) {
    if (length === undefined || length > 63) return undefined
    labels.push(query.toString('latin1', at + 1, at + 1 + length).toLowerCase())
    at += 1 + length
  }
  if (query.length < at + 5) return undefined
  return { name: labels.join('.'), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function answer(query: Buffer): Buffer | undefined {
  const question = readQuestion(query)
  if (question === undefined) return undefined
  const ip = records.get(question.name)
  const found = ip !== undefined && question.type === TYPE_A
  const reply = Buffer.alloc(question.end + (found ? 16 : 0))
  query.copy(reply, 0, 0, question.end)
  reply.writeUInt16BE(ANSWER | (ip === undefined ? NO_SUCH_NAME : 0), 2)
  reply.writeUInt16BE(found ? 1 : 0, 6)
  reply.fill(0, 8, HEADER_BYTES)
  if (found) {
    const fields = [SAME_NAME, TYPE_A, CLASS_IN, 0, TTL_SECONDS, 4]
    for (const [index, field] of fields.entries()) reply.writeUInt16BE(field, question.end + index * 2)
    reply.set(ip.split('.').map(Number), question.end + 12)
  }
  return reply
}

class NameServer implements AsyncEventHandler {
  static createForWorker(): NameServer {
    return new NameServer()
  }

  onDatagram(udp: UdpCtx, query: Buffer, from: SocketAddress): void {
    const reply = answer(query)
    if (reply !== undefined) udp.sendTo(from, reply)
  }

  /** A reply that finds no room is lost, as datagrams may be: whoever asked will ask again. */
  onError(error: Error): void {
    console.error(error.message)
  }
}

const port = Number(process.argv[2] ?? 5353)
const server = await new RinglineBuilder().bindUdp({ address: '127.0.0.1', port }).launch(NameServer)
console.log(`listening on ${server.udpAddrs[0]?.address}:${server.udpAddrs[0]?.port}`)
process.once('SIGINT', () => void server.shutdown())
process.once('SIGTERM', () => void server.shutdown())
