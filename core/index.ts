/** The door of core: names, layouts, limits, ports, errors. No input or output. */
export * from './bytes.ts'
export * from './codec.ts'
export * from './errors.ts'
export * from './limits.ts'
export * from './ports.ts'
export * from './profile.ts'
export * from './random.ts'
export * from './sensitive.ts'
