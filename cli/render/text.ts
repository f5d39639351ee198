/** Words and figures for people. Sizes in bytes in, binary units out. */

/**
 * Text from elsewhere (names, other programs' lines) made harmless for a terminal: control characters
 * and marks that turn the reading direction become `?`.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '?')
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** 0 B, 1023 B, 1.0 KiB, 3.4 MiB … */
export function sizeText(sizeBytes: number): string {
  let value = sizeBytes
  let unit = 0
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 ? `${Math.round(sizeBytes)} B` : `${value.toFixed(1)} ${UNITS[unit]}`
}

/** 0:07, 12:34, 1:02:03, 3 d 4 h */
export function spanText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole >= 172_800) return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`
  const hours = Math.floor(whole / 3_600)
  const minutes = Math.floor((whole % 3_600) / 60)
  const rest = String(whole % 60).padStart(2, '0')
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`
}

/** "1 shard", "3 shards" */
export function countText(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`
}
