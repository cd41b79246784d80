/**
 * Chains of sends: links that the kernel runs one after the other, with one completion for all, of which a failing one cancels the rest.
 * It owns the rules for chains; parts are looked at and queued by send-parts.ts.
 */

import type { ConnCtx } from './connection.js'
import { invalidArgument, RinglineError } from './errors.js'
import { type GuardedSend, guardedSend, Release } from './guards.js'
import { types } from './node-util.js'
import { PIECES_PER_SEND_MAX } from './protocol.js'
import type { SendData } from './send-data.js'
import { attemptSend, type Checked, checkPart, queueParts, type SendPart, settled } from './send-parts.js'

/** Collects the links of a chain, in their order; see {@link ConnCtx.sendChain}. */
export class ChainBuilder {
  private readonly links: SendPart[] = []
  private submitted = false

  private constructor() {}

  /** What `add` collects. @internal */
  static collect(add: (chain: ChainBuilder) => unknown): SendPart[] {
    if (typeof add !== 'function')
      throw invalidArgument('add', 'a function that adds links to the chain it is given', add)
    const chain = new ChainBuilder()
    try {
      const answer = add(chain)
      if (!types.isPromise(answer)) return chain.links
      // What an async function adds after its first await comes too late, which is told here and not once more by its rejection.
      Promise.prototype.then.call(answer, undefined, () => {})
      throw invalidArgument('add', 'a function that adds all links before it returns', add)
    } finally {
      chain.submitted = true
    }
  }

  /** Adds a link of data, which is copied when the chain is submitted. */
  copy(data: SendData): this {
    return this.link({ copy: data })
  }

  /** Adds a link of memory of `allocGuard`, `allocAligned` or a `MemoryRegion`. In a chain the kernel copies it. */
  guard(memory: NodeJS.ArrayBufferView): this {
    return this.link({ guard: memory })
  }

  /**
   * Adds a link. One without bytes is left out.
   *
   * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT` when the chain was submitted already
   */
  link(part: SendPart): this {
    if (this.submitted) {
      const message = 'this chain was submitted already: add its links before the function that adds them returns'
      throw new RinglineError('ERR_RINGLINE_INVALID_ARGUMENT', message)
    }
    this.links.push(part)
    return this
  }
}

/** See ConnCtx.sendChain. */
export function sendChain(conn: ConnCtx, add: (chain: ChainBuilder) => unknown): GuardedSend {
  const release = new Release()
  return guardedSend(
    attemptSend(() => settled(conn, queueChain(conn, add, release))),
    release,
  )
}

/** See ConnCtx.sendChainNowait. */
export function queueChain(conn: ConnCtx, add: (chain: ChainBuilder) => unknown, release = new Release()): number {
  const links = ChainBuilder.collect(add)
    .map(checkPart)
    .filter((link) => link.length > 0)
  const { outbound } = conn.dispatcher
  const submissions = links.reduce((sum, link) => sum + submissionsOf(link, outbound.pool.slotSize), 0)
  requireShort(submissions, outbound.chainLinksMax)
  return queueParts(conn, links, release, submissions > 1)
}

/** How many submissions a link takes: one, more for a very long one. */
function submissionsOf(link: Checked, slotSize: number): number {
  if (link.place !== undefined) return 1
  return Math.ceil(Math.ceil(link.length / slotSize) / PIECES_PER_SEND_MAX)
}

function requireShort(submissions: number, max: number): void {
  if (submissions <= max && max > 0) return
  const why =
    max === 0
      ? 'chains are disabled: maxChainLength is 0'
      : `the chain needs ${submissions} links and may have ${max}; shorten it, or raise maxChainLength and sqEntries`
  throw new RinglineError('ERR_RINGLINE_CHAIN_TOO_LONG', `nothing was sent: ${why}`)
}
