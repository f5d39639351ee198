/** Whether what the nodes of a testnet say of themselves makes one ordered ring. SPEC ring §2 */

export interface RingSight {
  readonly name: string
  /** Undefined: alive, but it did not answer. */
  readonly report: { readonly id: string; readonly joined: boolean; readonly successors: readonly string[] } | undefined
}

/** Empty when each node's first successor is the next live id clockwise; else what is wrong, in words. */
export function ringFaults(sights: readonly RingSight[]): string[] {
  const faults: string[] = []
  const members: { name: string; id: string; successor: string | undefined }[] = []
  for (const { name, report } of sights) {
    if (report === undefined) faults.push(`${name} does not answer`)
    else if (!report.joined) faults.push(`${name} has not joined`)
    else members.push({ name, id: report.id, successor: report.successors[0] })
  }
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  sorted.forEach((member, index) => {
    const next = sorted[(index + 1) % sorted.length]
    if (next === undefined || next === member) return
    if (next.id === member.id) faults.push(`${member.name} and ${next.name} have one id`)
    else if (member.successor !== next.id) {
      const has = member.successor === undefined ? 'no successor' : `successor ${shortId(member.successor)}`
      faults.push(`${member.name} has ${has}; next is ${next.name} (${shortId(next.id)})`)
    }
  })
  if (sights.length === 0) faults.push('no node is running')
  return faults
}

/** The line that sums it up. */
export function ringLine(sights: readonly RingSight[]): string {
  const faults = ringFaults(sights)
  return faults.length === 0
    ? `ring: one ordered ring of ${sights.length}`
    : `ring: not one ordered ring: ${faults.join('; ')}`
}

export function shortId(id: string): string {
  return id.slice(0, 8)
}
