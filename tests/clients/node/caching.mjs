// node-redis's client-side cache (RESP3): what is read again isn't asked again, what somebody changes is told and read
// anew, also after expiry, FLUSHALL, a script and a transaction; nothing of before a kill is served after it.

import assert from 'node:assert/strict'
import { BasicClientSideCache, createClient } from 'redis'
import { PORT, restart, shown, waitUntil } from './program.mjs'

const connect = async (options) => {
  const client = createClient({ socket: { port: PORT, reconnectStrategy: 50 }, ...options })
  client.on('error', () => {})
  return client.connect()
}

const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: 'LRU' })
const reader = await connect({ RESP: 3, clientSideCache: cache })
const writer = await connect({})
await writer.flushAll()

const COUNT = 50
const names = Array.from({ length: COUNT }, (_, n) => `cached:${n}`)
const read = () => Promise.all(names.map((name) => reader.get(name)))
const eventually = (expected, what) =>
  waitUntil(async () => JSON.stringify(await read()) === JSON.stringify(expected), what)

await Promise.all(names.map((name, n) => writer.set(name, n)))
const first = names.map((_, n) => String(n))
assert.deepEqual(await read(), first)
const before = cache.stats()
assert.deepEqual(await read(), first)
assert.equal(cache.stats().hitCount - before.hitCount, COUNT)
assert.equal(cache.stats().missCount, before.missCount)

// Changed in every way that there is: the reader is told of all of them.
await Promise.all(names.map((name, n) => writer.set(name, n + 1000)))
await eventually(names.map((_, n) => String(n + 1000)), 'told of SET')
await Promise.all(names.map((name) => writer.incr(name)))
await eventually(names.map((_, n) => String(n + 1001)), 'told of INCR')
await writer.del(names)
await eventually(names.map(() => null), 'told of DEL')
for (const name of names) await writer.multi().set(name, 'in a transaction').pExpire(name, 60_000).exec()
await eventually(names.map(() => 'in a transaction'), 'told of a transaction')
for (const name of names) await writer.eval("redis.call('SET', KEYS[1], 'in a script', 'PX', 300)", { keys: [name] })
await eventually(names.map(() => null), 'told of expiry')
await writer.set('cached:0', 'before')
await waitUntil(async () => (await reader.get('cached:0')) === 'before', 'told that there is a value again')
await writer.flushAll()
await waitUntil(async () => (await reader.get('cached:0')) === null, 'told of FLUSHALL')

await Promise.all(names.map((name) => writer.set(name, 'kept')))
await eventually(names.map(() => 'kept'), 'cached before the kill')
await restart()
await waitUntil(async () => (await writer.set('cached:1', 'new').catch(() => null)) === 'OK', 'it serves again')
await waitUntil(async () => (await reader.get('cached:1').catch(() => null)) === 'new', 'what was cached is forgotten')
await writer.set('cached:2', 'newer')
await waitUntil(async () => (await reader.get('cached:2')) === 'newer', 'told on the new connection')
shown('a client-side cache over changes of every kind, expiry and a restart')
