/** A member that takes part in everything but gives nothing: it says of all that it is asked on the ring that it is not there. */
import {
  COMMANDS,
  LINK_MESSAGE,
  type Link,
  type LinkHandlers,
  MessageJoiner,
  readCell,
  splitMessage,
  type Transport,
} from '../../routing/index.ts'

const { rget, rrenew, rread, rnone, rput } = LINK_MESSAGE
const DENIED: readonly number[] = [rget, rrenew, rread, rput]
/** Numbers of its own messages on a link, far from those that the program under it uses. */
const FLOW_MIN = 0x8000_0000

export function denying(transport: Transport): Transport {
  return {
    dial: async (to, options) => wrap(await transport.dial(to, options)),
    listen: (address, onLink) => transport.listen(address, (link) => onLink(wrap(link))),
    close: () => transport.close(),
  }
}

function wrap(link: Link): Link {
  const joiner = new MessageJoiner()
  let flow = FLOW_MIN
  const deny = (rid: Uint8Array): void => {
    flow = flow === 0xffff_ffff ? FLOW_MIN : flow + 1
    for (const cell of splitMessage(flow, Uint8Array.of(rnone, ...rid, 0))) link.send(cell)
  }
  return {
    peerKey: link.peerKey,
    isDialer: link.isDialer,
    get queuedBytes() {
      return link.queuedBytes
    },
    start(handlers: LinkHandlers) {
      link.start({
        onDrain: () => handlers.onDrain(),
        onClose: (reason) => handlers.onClose(reason),
        onCell: (cell) => {
          const { command, body } = readCell(cell)
          if (command !== COMMANDS.message) return handlers.onCell(cell)
          const message = joiner.add(body)?.slice()
          if (message === undefined) return
          if (DENIED.includes(message[0] as number)) deny(message.subarray(1, 9))
          else for (const part of splitMessage(0, message)) handlers.onCell(part)
        },
      })
    },
    send: (cell) => link.send(cell),
    close: (reason) => link.close(reason),
  }
}
