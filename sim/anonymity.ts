import { runScene } from './anonymity/scene.ts'

export async function runAnonymity(_args: string[]): Promise<void> {
  const t = Date.now()
  const scene = await runScene({ seed: 'x', nodes: Number(process.env.N ?? 40), objects: Number(process.env.M ?? 20), minutes: Number(process.env.T ?? 2) })
  const legs = scene.recordings.reduce((s, r) => s + r.legs.length, 0)
  const gw = scene.recordings.reduce((s, r) => s + r.gateway.length, 0)
  const ring = scene.recordings.reduce((s, r) => s + r.ring.length, 0)
  console.log({ real: (Date.now() - t) / 1000, cpu: process.cpuUsage(), rss: process.resourceUsage().maxRSS / 1024, legs, gw, ring, deeds: scene.deeds.length, failed: scene.failed, s: scene.simulatedSeconds, events: scene.events, withOther: scene.recordings[3]?.legs.filter((l) => l.isFromPeer && l.other).length, near: scene.recordings[3]?.legs.filter((l) => l.isFromPeer).length, asked: scene.deeds.slice(0, 4).map((d) => d.asked.length), took: scene.deeds.slice(0, 10).map((d) => Math.round(d.untilMs - d.fromMs)) })
}
