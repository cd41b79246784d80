// The echo server on `Deno.listen`: one read buffer per connection, and a loop because `write` may take only part of it.
const listener = Deno.listen({ hostname: '127.0.0.1', port: 0 })

async function echo(conn: Deno.TcpConn) {
  conn.setNoDelay(true)
  const buffer = new Uint8Array(64 * 1024)
  try {
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      for (let sent = 0; sent < count; ) sent += await conn.write(buffer.subarray(sent, count))
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe)) throw error
  } finally {
    conn.close()
  }
}

console.log(JSON.stringify({ port: (listener.addr as Deno.NetAddr).port, pid: Deno.pid }))
Deno.addSignalListener('SIGTERM', () => Deno.exit(0))
for await (const conn of listener) void echo(conn)
