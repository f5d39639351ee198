import { it } from 'vitest'
import { PRODUCTION, search } from './late.ts'
it('x', () => { const a = performance.now(); console.log(JSON.stringify(search({ steps: PRODUCTION, ids: 5, successorsMax: 2, adoption: 'unheeded', answersLate: true })), performance.now() - a, process.memoryUsage().rss / 1e6) }, 300000)
