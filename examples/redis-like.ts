// A key-value server that redis-cli and redis-benchmark can talk to: PING, SET, GET and INCR, also many at once.

import { type ConnCtx, ParseResult, RinglineBuilder } from 'ringline'

const store = new Map<string, string>()

const commands: Record<string, (...args: string[]) => string> = {
  PING: () => '+PONG\r\n',
  SET: (key: string, value: string) => store.set(key, value) && '+OK\r\n',
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

/** Reads an array of bulk strings, or a line typed by hand: its words and where it ends, 0 when it is not complete. */
function readCommand(data: Buffer): { words: string[]; end: number } {
  const words: string[] = []
  let end = data.indexOf('\r\n') + 2
  if (end >= 2 && data[0] !== 0x2a) return { words: data.toString('utf8', 0, end - 2).split(' '), end }
  const count = Number(data.toString('latin1', 1, end - 2))
  while (end >= 2 && words.length < count) {
    const start = data.indexOf('\r\n', end) + 2
    const length = Number(data.toString('latin1', end + 1, start - 2))
    end = start + length + 2
    if (start < 2 || !(length >= 0) || end > data.length) return { words, end: 0 }
    words.push(data.toString('utf8', start, end - 2))
  }
  return { words, end: end < 2 ? 0 : end }
}

const server = await new RinglineBuilder().bind(`127.0.0.1:${process.argv[2] ?? 6379}`).launch({
  createForWorker: () => ({
    async onAccept(conn: ConnCtx) {
      let answers = ''
      const answerOne = (data: Buffer) => {
        const { words, end } = readCommand(data)
        if (end > 0) answers += execute(words)
        return ParseResult.Consumed(end)
      }
      for (; (await conn.withData(answerOne)) > 0; answers = '') {
        while (conn.tryWithData(answerOne));
        await conn.send(answers)
      }
    },
  }),
})
console.log(`listening on ${server.boundAddr.address}:${server.boundAddr.port}`)
