/** Columns of plain text, two spaces apart, wide enough for their longest cell. */
import { printable } from './text.ts'

export interface Column {
  readonly head: string
  readonly align?: 'left' | 'right'
}

/** The lines of a table, without the last line feed. Cells are made printable. */
export function tableText(columns: readonly Column[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => columns.map((_, index) => printable(String(row[index] ?? ''))))
  const heads = columns.map((column) => column.head)
  const widths = heads.map((head, index) => Math.max(head.length, ...cells.map((row) => row[index]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, index) => {
        const width = widths[index] ?? 0
        return columns[index]?.align === 'right' ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  return [line(heads), ...cells.map(line)].join('\n')
}

/** `name  value` lines; the names in one column. */
export function factsText(facts: readonly (readonly [string, string | number])[]): string {
  const width = Math.max(0, ...facts.map(([name]) => name.length))
  return facts.map(([name, value]) => `${name.padEnd(width)}  ${printable(String(value))}`.trimEnd()).join('\n')
}
