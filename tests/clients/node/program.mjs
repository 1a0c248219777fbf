// What the programs share: where the server is, having it killed, waiting for a condition. See ../python/program.py.

import { createInterface } from 'node:readline'

export const PORT = Number(process.argv[2])

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** The server is killed; resolves when it serves again. */
export async function restart() {
  process.stdout.write('RESTART\n')
  const { value } = await lines.next()
  if (value !== 'restarted') throw new Error(`unexpected: ${value}`)
}

export async function waitUntil(condition, what, seconds = 60) {
  const end = Date.now() + seconds * 1000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`)
    await new Promise((done) => setTimeout(done, 50))
  }
}

export function shown(what) {
  process.stdout.write(`shown: ${what}\n`, () => process.exit(0))
}
