/**
 * The opaque name of a connection. It owns nothing: it leads to the one connection it was made for, never to a later owner of its slot.
 */

import type { ConnCtx } from './connection.js'
import { inspect } from './node-util.js'

/** Names one connection, for the methods of {@link DriverCtx}. One connection has one token, so tokens can be compared and be keys. */
export class ConnToken {
  private readonly conn: ConnCtx

  private constructor(conn: ConnCtx) {
    this.conn = conn
  }

  /** The token of a connection; {@link ConnCtx.token} keeps it. @internal */
  static of(conn: ConnCtx): ConnToken {
    return new ConnToken(conn)
  }

  /** The connection that a token names. @internal */
  static connOf(token: ConnToken): ConnCtx {
    return token.conn
  }

  /** What `console.log` shows. @internal */
  [inspect.custom](): string {
    return `ConnToken(${this.conn.slot}:${this.conn.generation})`
  }
}
