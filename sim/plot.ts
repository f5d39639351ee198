/**
 * Draws lines over a logarithmic x axis as an SVG file of a few kilobytes, for pages of measurements.
 * It brings its own background and follows the reader's light or dark scheme. Sizes in pixels.
 */

export interface Line {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** For what is computed rather than measured. */
  readonly isDashed?: boolean
}

export interface Plot {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  /** Labelled on the x axis; the first and the last are its ends. */
  readonly xTicks: readonly number[]
  /** Labelled on the y axis; the first and the last are its ends. */
  readonly yTicks: readonly number[]
  readonly lines: readonly Line[]
}

const WIDTH = 720
const HEIGHT = 400
const BOX = { left: 60, right: 520, top: 44, bottom: 344 } as const
const LEGEND_STEP = 24
/** Of middling lightness: each stands out from white and from near black. */
const COLOURS = ['#2f7fd6', '#d9661f', '#1a9a6c', '#9a6ae0', '#c2417c', '#8a8f1f']
const STYLE = [
  '.paper{fill:#fff}.ink{fill:#1f2328;font:14px sans-serif}.title{font-weight:bold}.grid{stroke:#d0d7de}',
  '@media(prefers-color-scheme:dark){.paper{fill:#0d1117}.ink{fill:#e6edf3}.grid{stroke:#3d444d}}',
].join('')

export function drawPlot(plot: Plot): string {
  const x = scale(plot.xTicks.map(Math.log10), [BOX.left, BOX.right])
  const y = scale(plot.yTicks, [BOX.bottom, BOX.top])
  const xOf = (value: number): string => x(Math.log10(value)).toFixed(1)
  const yOf = (value: number): string => y(value).toFixed(1)
  const across = (BOX.left + BOX.right) / 2
  const down = (BOX.top + BOX.bottom) / 2
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">`,
    `<title>${escaped(plot.title)}</title><style>${STYLE}</style>`,
    `<rect class="paper" width="${WIDTH}" height="${HEIGHT}"/>`,
    text(plot.title, { x: BOX.left, y: 26, class: 'ink title' }),
    ...plot.yTicks.flatMap((tick) => [
      `<path class="grid" d="M${BOX.left} ${yOf(tick)}H${BOX.right}"/>`,
      text(grouped(tick), { x: BOX.left - 8, y: Number(yOf(tick)) + 5, anchor: 'end' }),
    ]),
    ...plot.xTicks.flatMap((tick) => [
      `<path class="grid" d="M${xOf(tick)} ${BOX.top}V${BOX.bottom}"/>`,
      text(grouped(tick), { x: xOf(tick), y: BOX.bottom + 20, anchor: 'middle' }),
    ]),
    text(plot.xLabel, { x: across, y: BOX.bottom + 44, anchor: 'middle' }),
    text(plot.yLabel, { x: 18, y: down, anchor: 'middle', turn: `rotate(-90 18 ${down})` }),
    ...plot.lines.flatMap((line, index) => {
      const colour = COLOURS[index % COLOURS.length]
      const dashes = line.isDashed === true ? ' stroke-dasharray="6 5"' : ''
      const stroke = `fill="none" stroke="${colour}" stroke-width="2.5"${dashes}`
      const path = line.points.map(([px, py]) => `${xOf(px)} ${yOf(py)}`).join('L')
      const dots = line.isDashed === true ? [] : line.points
      const legendY = BOX.top + 10 + index * LEGEND_STEP
      return [
        `<path d="M${path}" ${stroke}/>`,
        ...dots.map(([px, py]) => `<circle cx="${xOf(px)}" cy="${yOf(py)}" r="4" fill="${colour}"/>`),
        `<path d="M${BOX.right + 16} ${legendY}h28" ${stroke}/>`,
        text(line.name, { x: BOX.right + 52, y: legendY + 5 }),
      ]
    }),
    '</svg>\n',
  ].join('\n')
}

/** Maps the span of the ticks onto the pixels from `start` to `end`. */
function scale(ticks: readonly number[], [start, end]: readonly [number, number]): (value: number) => number {
  const low = ticks[0] ?? 0
  const high = ticks.at(-1) ?? 1
  return (value) => start + ((value - low) / (high - low)) * (end - start)
}

function text(
  words: string,
  at: { x: number | string; y: number; anchor?: string; class?: string; turn?: string },
): string {
  const anchor = at.anchor === undefined ? '' : ` text-anchor="${at.anchor}"`
  const turn = at.turn === undefined ? '' : ` transform="${at.turn}"`
  return `<text class="${at.class ?? 'ink'}" x="${at.x}" y="${at.y}"${anchor}${turn}>${escaped(words)}</text>`
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

/** 10000 as 10,000, whatever the machine's language. */
function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',')
}
