/**
 * Requests of this home wait here until its congestion window has room, first come first served. Gets and puts have a
 * window each: a put takes longer. While the guard says that it makes this home wait, one request at a time.
 * SPEC requests §11, ledger §7
 */
import { type Clock, type Jitter, type Timer, UnavailableError } from '../core/index.ts'
import { CongestionWindow, type Ending, RetryBudget } from '../routing/index.ts'

/** Who waits: more than one user's commands can bring together. Beyond, a request fails at once. */
const WAITING_MAX = 4_096
/** Nothing at all was answered for so long: who waits first is told, instead of waiting for ever. */
const NO_ANSWER_MS = 60_000
const LOOK_MS = 1_000
/** What was given up, and is not answered for so long after that, is answered no more. */
const GIVEN_UP_MS_MAX = 20_000

/** The network, or the guard, has no room for this home's requests. */
export class CongestedError extends UnavailableError {
  readonly code = 'ERR_CONGESTED'
  constructor(isHeldBack: boolean) {
    super(
      isHeldBack
        ? 'this home waits for its guard, which is busy and serves first who has served it'
        : 'the network is too busy: requests are not answered in time',
      {
        hint: isHeldBack
          ? 'try again later; see hush ledger, and run a node to be served first'
          : 'try again later; requests slow down by themselves until answers come in time',
      },
    )
  }
}

export interface PacingPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  /** Whether the guard in use has said lately that it makes this home wait. */
  readonly isHeldBack: () => boolean
  /** With cover all goes at cover's own rate: late says nothing then. */
  readonly hasCover: boolean
}

/** A place in the window. */
export interface Turn {
  /** The request leaves now: there is a circuit for it. */
  sent(): void
  /** Nobody waits for it any more. What was given up in a full network keeps its place until it is over there. */
  end(how: Ending): void
  /** The other end has answered, or the circuit is no more. */
  over(): void
}

interface Waiter {
  readonly sinceMs: number
  readonly settle: (turn: Turn | Error | undefined) => void
}

/** One kind of requests. */
interface Lane {
  readonly window: CongestionWindow
  readonly waiting: Set<Waiter>
  readonly budget: RetryBudget
  /** When a request was last answered, in whatever way. */
  answeredMs: number
  timer: Timer | undefined
}

export type Paced = 'get' | 'put'

export class Pacing {
  readonly #p: PacingPorts
  readonly #lanes: Readonly<Record<Paced, Lane>>

  constructor(ports: PacingPorts) {
    this.#p = ports
    this.#lanes = { get: this.#newLane(), put: this.#newLane() }
  }

  get isHeldBack(): boolean {
    return this.#p.isHeldBack()
  }
  /** For the metrics. */
  stateOf(kind: Paced): { readonly window: number; readonly underWay: number; readonly waiting: number } {
    const { window, waiting } = this.#lanes[kind]
    return { window: window.size, underWay: window.underWay, waiting: waiting.size }
  }
  /** Whether more may be got than is needed. */
  get isCalm(): boolean {
    const { window, waiting } = this.#lanes.get
    return window.isCalm && waiting.size === 0 && !this.#p.isHeldBack()
  }
  /** What a request is told that is not asked again. */
  get reason(): CongestedError {
    return new CongestedError(this.#p.isHeldBack())
  }

  /** A place for one request, waited for; undefined once the signal has fired. Throws CongestedError. */
  async enter(kind: Paced, signal?: AbortSignal): Promise<Turn | undefined> {
    const lane = this.#lanes[kind]
    if (signal?.aborted === true) return undefined
    if (lane.waiting.size === 0 && this.#waitMs(lane) === 0) return this.#grant(lane)
    if (lane.waiting.size >= WAITING_MAX) throw this.reason
    return this.#wait(lane, signal)
  }

  /** Something is asked for that was not before. */
  asksFirst(kind: Paced): void {
    this.#lanes[kind].budget.earn()
  }

  /** Whether what has not come may be asked for once more. */
  mayRetry(kind: Paced): boolean {
    return this.#lanes[kind].budget.take(this.#p.clock.monotonicMs())
  }

  #newLane(): Lane {
    const { jitter, hasCover } = this.#p
    const window = new CongestionWindow({ jitter, ...(hasCover && { lateMs: Number.POSITIVE_INFINITY }) })
    const never = Number.NEGATIVE_INFINITY
    return { window, waiting: new Set(), budget: new RetryBudget(), answeredMs: never, timer: undefined }
  }

  #waitMs({ window }: Lane): number {
    return window.waitMs(this.#p.clock.monotonicMs(), this.#p.isHeldBack() ? 1 : undefined)
  }

  #grant(lane: Lane): Turn {
    const { clock } = this.#p
    let begun = lane.window.begin(clock.monotonicMs())
    let at: 'home' | 'away' | 'over' = 'home'
    let [isJudged, hasLeft] = [false, false]
    const leave = (): void => {
      if (hasLeft) return
      hasLeft = true
      lane.window.leave(clock.monotonicMs())
      this.#serve(lane)
    }
    return {
      sent: () => {
        at = 'away'
        begun = { ...begun, atMs: clock.monotonicMs() }
      },
      end: (how) => {
        if (isJudged) return
        isJudged = true
        const nowMs = clock.monotonicMs()
        if (how === 'answered') lane.answeredMs = nowMs
        // What never left, for want of a circuit, was not late.
        lane.window.judge(begun, how, at === 'home' ? begun.atMs : nowMs)
        if (at === 'away' && lane.window.isFull) clock.setTimer(GIVEN_UP_MS_MAX, leave)
        else leave()
      },
      over: () => {
        at = 'over'
        if (isJudged) leave()
      },
    }
  }

  #wait(lane: Lane, signal: AbortSignal | undefined): Promise<Turn | undefined> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => waiter.settle(undefined)
      const settle = (turn: Turn | Error | undefined): void => {
        lane.waiting.delete(waiter)
        signal?.removeEventListener('abort', onAbort)
        if (turn instanceof Error) reject(turn)
        else resolve(turn)
      }
      const waiter: Waiter = { sinceMs: this.#p.clock.monotonicMs(), settle }
      signal?.addEventListener('abort', onAbort, { once: true })
      lane.waiting.add(waiter)
      this.#lookAgain(lane)
    })
  }

  #serve(lane: Lane): void {
    for (const waiter of lane.waiting) {
      if (this.#waitMs(lane) > 0) break
      waiter.settle(this.#grant(lane))
    }
    this.#lookAgain(lane)
  }

  /** A pause ends, a guard lets go, or somebody has waited for too long. */
  #lookAgain(lane: Lane): void {
    if (lane.waiting.size === 0 || lane.timer !== undefined) return
    const { clock } = this.#p
    lane.timer = clock.setTimer(Math.max(1, Math.min(LOOK_MS, this.#waitMs(lane))), () => {
      lane.timer = undefined
      for (const waiter of lane.waiting) {
        if (clock.monotonicMs() - Math.max(waiter.sinceMs, lane.answeredMs) < NO_ANSWER_MS) break
        waiter.settle(this.reason)
      }
      this.#serve(lane)
    })
  }
}
