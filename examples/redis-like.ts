// A key-value server that redis-cli can talk to: PING, SET, GET and INCR.

import { type ConnCtx, ParseResult, RinglineBuilder } from 'ringline'

const store = new Map<string, string>()

const commands: Record<string, (...args: string[]) => string> = {
  PING: () => '+PONG\r\n',
  SET(key: string, value: string) {
    store.set(key, value)
    return '+OK\r\n'
  },
  GET(key: string) {
    const value = store.get(key)
    return value === undefined ? '$-1\r\n' : `$${Buffer.byteLength(value)}\r\n${value}\r\n`
  },
  INCR(key: string) {
    const value = Number(store.get(key) ?? 0) + 1
    if (!Number.isSafeInteger(value)) return '-ERR value is not an integer or out of range\r\n'
    store.set(key, String(value))
    return `:${value}\r\n`
  },
}

function execute([name = '', ...args]: string[]): string {
  const command = commands[name.toUpperCase()]
  if (command === undefined) return '-ERR unknown command\r\n'
  return args.length < command.length ? '-ERR wrong number of arguments\r\n' : command(...args)
}

/** Reads a command, an array of bulk strings: its words and where it ends, or undefined when it is not complete. */
function readCommand(data: Buffer): { words: string[]; end: number } | undefined {
  const words: string[] = []
  let end = data.indexOf('\r\n') + 2
  const count = Number(data.toString('latin1', 1, end - 2))
  while (end >= 2 && words.length < count) {
    const start = data.indexOf('\r\n', end) + 2
    const length = Number(data.toString('latin1', end + 1, start - 2))
    end = start + length + 2
    if (start < 2 || !(length >= 0) || end > data.length) return undefined
    words.push(data.toString('utf8', start, end - 2))
  }
  return end < 2 ? undefined : { words, end }
}

const server = await new RinglineBuilder().bind(`127.0.0.1:${process.argv[2] ?? 6379}`).launch({
  createForWorker: () => ({
    async onAccept(conn: ConnCtx) {
      let answer = ''
      const answerOne = (data: Buffer) => {
        const command = readCommand(data)
        if (command === undefined) return ParseResult.NeedMore
        answer = execute(command.words)
        return ParseResult.Consumed(command.end)
      }
      while ((await conn.withData(answerOne)) > 0) await conn.send(answer)
    },
  }),
})
console.log(`listening on ${server.boundAddr.address}:${server.boundAddr.port}`)
