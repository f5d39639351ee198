/**
 * Calls between neighbours: one message there, one back, matched by a tag that is unique on its link.
 * A call never throws for what the peer does: no answer in time, or a closed link, is `undefined`.
 * SPEC requests §6, ring §5
 */
import type { Clock, Timer } from '../core/index.ts'
import { type Call, encodeCall } from '../routing/index.ts'
import type { PeerLink } from './links.ts'

/** Calls one link may have outstanding; a further one fails at once. */
const OUTSTANDING_MAX = 256

type Answer = Extract<Call, { kind: 'ringState' | 'copied' | 'haves' | 'proved' | 'pointed' }>
type Question = Exclude<Call, Answer>
type WithoutTag<T> = T extends unknown ? Omit<T, 'tag'> : never
type AnswerTo = { ringQuery: 'ringState'; copy: 'copied'; have: 'haves'; prove: 'proved'; pointer: 'pointed' }

const ANSWER_TO: { readonly [Kind in Question['kind']]: AnswerTo[Kind] } = {
  ringQuery: 'ringState',
  copy: 'copied',
  have: 'haves',
  prove: 'proved',
  pointer: 'pointed',
}
const ANSWERS: readonly string[] = Object.values(ANSWER_TO)

export function isAnswer(call: Call): call is Answer {
  return ANSWERS.includes(call.kind)
}

interface Waiting {
  readonly wanted: Answer['kind']
  readonly settle: (answer: Answer | undefined) => void
}

export class Calls {
  readonly #clock: Clock
  readonly #waiting = new Map<PeerLink, Map<number, Waiting>>()
  #tag = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  ask<Q extends WithoutTag<Question>>(
    peer: PeerLink,
    question: Q,
    timeoutMs: number,
  ): Promise<Extract<Answer, { kind: AnswerTo[Q['kind']] }> | undefined> {
    const wanted = ANSWER_TO
    this.#tag = (this.#tag + 1) % 2 ** 32
    const tag = this.#tag
    const open = this.#waiting.get(peer) ?? new Map<number, Waiting>()
    this.#waiting.set(peer, open)
    return new Promise((resolve) => {
      if (open.size >= OUTSTANDING_MAX) return resolve(undefined)
      let timer: Timer | undefined
      const settle = (answer: Answer | undefined): void => {
        timer?.cancel()
        open.delete(tag)
        resolve(answer as Extract<Answer, { kind: AnswerTo[Q['kind']] }> | undefined)
      }
      open.set(tag, { wanted: wanted[question.kind], settle })
      timer = this.#clock.setTimer(timeoutMs, () => settle(undefined))
      const urgency = question.kind === 'ringQuery' ? 'control' : 'normal'
      if (!peer.sendMessage(encodeCall({ ...question, tag } as Call), urgency)) settle(undefined)
    })
  }

  /** Matches an answer to its call; answers nobody waits for are dropped. */
  answered(peer: PeerLink, answer: Answer): void {
    const waiting = this.#waiting.get(peer)?.get(answer.tag)
    if (waiting?.wanted === answer.kind) waiting.settle(answer)
  }

  closed(peer: PeerLink): void {
    for (const waiting of this.#waiting.get(peer)?.values() ?? []) waiting.settle(undefined)
    this.#waiting.delete(peer)
  }
}
