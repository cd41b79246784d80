// A key-value server that speaks enough of the Redis protocol for redis-cli and redis-benchmark: PING, ECHO, SET, GET, DEL, EXISTS, INCR.
// Commands come inline ("GET key") or as RESP arrays, any number at a time; the answers to one chunk leave in one send.

import { type AsyncEventHandler, type ConnCtx, ParseResult, RinglineBuilder } from 'ringline'

/** Answers a client may leave unread before its next commands wait. */
const UNREAD_BYTES_MAX = 1024 * 1024

const store = new Map<string, string>()

const bulk = (text: string | undefined) =>
  text === undefined ? '$-1\r\n' : `$${Buffer.byteLength(text)}\r\n${text}\r\n`
const integer = (value: number) => `:${value}\r\n`

/** Each command: how many arguments it needs at least, and its answer. */
const commands: Record<string, [number, (...args: string[]) => string]> = {
  PING: [0, (text) => (text === undefined ? '+PONG\r\n' : bulk(text))],
  ECHO: [1, (text) => bulk(text)],
  SET: [2, (key = '', value = '') => set(key, value)],
  GET: [1, (key = '') => bulk(store.get(key))],
  DEL: [1, (...keys) => integer(keys.filter((key) => store.delete(key)).length)],
  EXISTS: [1, (...keys) => integer(keys.filter((key) => store.has(key)).length)],
  INCR: [1, (key = '') => increment(key)],
  COMMAND: [0, () => '*0\r\n'],
  CONFIG: [0, () => '*0\r\n'],
}

function set(key: string, value: string): string {
  store.set(key, value)
  return '+OK\r\n'
}

function increment(key: string): string {
  const value = Number(store.get(key) ?? 0) + 1
  if (!Number.isSafeInteger(value)) return '-ERR value is not an integer or out of range\r\n'
  store.set(key, String(value))
  return integer(value)
}

function execute([name = '', ...args]: string[]): string {
  const [least, run] = commands[name.toUpperCase()] ?? []
  if (least === undefined || run === undefined) return `-ERR unknown command '${name.slice(0, 64)}'\r\n`
  return args.length < least ? `-ERR wrong number of arguments for '${name.toLowerCase()}' command\r\n` : run(...args)
}

/** Reads one command at `from`: its words and where it ends, or undefined when it is not complete. */
function readCommand(data: Buffer, from: number): { words: string[]; end: number } | undefined {
  let end = data.indexOf('\r\n', from)
  if (end < 0) return undefined
  const line = data.toString('latin1', from, end)
  if (!line.startsWith('*')) return { words: line.split(' ').filter(Boolean), end: end + 2 }
  const words: string[] = []
  for (let left = Number(line.slice(1)); left > 0; left -= 1) {
    const start = end + 2
    end = data.indexOf('\r\n', start)
    if (end < 0) return undefined
    const length = Number(data.toString('latin1', start + 1, end))
    if (data[start] !== 0x24 || !Number.isInteger(length) || length < 0) throw new Error('protocol error')
    if (data.length < end + 4 + length) return undefined
    words.push(data.toString('utf8', end + 2, end + 2 + length))
    end += 2 + length
  }
  return { words, end: end + 2 }
}

class Redis implements AsyncEventHandler {
  static createForWorker(): Redis {
    return new Redis()
  }

  async onAccept(conn: ConnCtx): Promise<void> {
    let answers = ''
    const answerAll = (data: Buffer) => {
      let done = 0
      for (let command = readCommand(data, 0); command !== undefined; command = readCommand(data, done)) {
        if (command.words.length > 0) answers += execute(command.words)
        done = command.end
      }
      return done > 0 ? ParseResult.Consumed(done) : ParseResult.NeedMore
    }
    while (await conn.withData(answerAll)) {
      // A client that asks and does not read is not answered faster than it reads.
      if (conn.bufferedAmount > UNREAD_BYTES_MAX) await conn.send(answers)
      else conn.sendNowait(answers)
      answers = ''
    }
  }
}

const port = Number(process.argv[2] ?? 6379)
const server = await new RinglineBuilder().bind({ address: '127.0.0.1', port }).launch(Redis)
console.log(`listening on ${server.boundAddr.address}:${server.boundAddr.port}`)
process.once('SIGINT', () => void server.shutdown())
