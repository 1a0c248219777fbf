// redlock and rate-limiter-flexible: locks exclude each other and end, limits hold over parallel requests; both outlive a kill.

import assert from 'node:assert/strict'
import Redis from 'ioredis'
import { RateLimiterRedis, BurstyRateLimiter } from 'rate-limiter-flexible'
import Redlock from 'redlock'
import { PORT, restart, shown, waitUntil } from './program.mjs'

const redis = new Redis(PORT, { maxRetriesPerRequest: null })
redis.on('error', () => {})
await redis.flushall()

const redlock = new Redlock([redis], { retryCount: 1000, retryDelay: 5, retryJitter: 5 })
const once = new Redlock([redis], { retryCount: 0 })
await redis.set('guarded', 0)
await Promise.all(
  Array.from({ length: 20 }, async () => {
    const lock = await redlock.lock('lock', 10000)
    const now = Number(await redis.get('guarded'))
    await new Promise((done) => setTimeout(done, 1))
    await redis.set('guarded', now + 1)
    await lock.unlock()
  }),
)
assert.equal(await redis.get('guarded'), '20')
await once.lock('short', 300)
await assert.rejects(once.lock('short', 300))
await waitUntil(() => once.lock('short', 300).then(() => true, () => false), 'a lock ends')
let held = await once.lock('held', 100000)
held = await held.extend(200000)

const passes = (limiter, key) => limiter.consume(key).then(() => true, (refused) => {
  if (refused instanceof Error) throw refused
  return false
})
const limiter = new RateLimiterRedis({ storeClient: redis, points: 10, duration: 1000, keyPrefix: 'limit' })
const outcomes = await Promise.all(Array.from({ length: 40 }, () => passes(limiter, 'someone')))
assert.equal(outcomes.filter(Boolean).length, 10)
const blocking = new RateLimiterRedis({ storeClient: redis, points: 1, duration: 1, blockDuration: 1000, keyPrefix: 'block' })
assert.equal(await passes(blocking, 'x'), true)
assert.equal(await passes(blocking, 'x'), false)
const bursty = new BurstyRateLimiter(
  new RateLimiterRedis({ storeClient: redis, points: 2, duration: 1, keyPrefix: 'steady' }),
  new RateLimiterRedis({ storeClient: redis, points: 5, duration: 100, keyPrefix: 'burst' }),
)
const burst = await Promise.all(Array.from({ length: 20 }, () => passes(bursty, 'x')))
assert.equal(burst.filter(Boolean).length, 7)
const brief = new RateLimiterRedis({ storeClient: redis, points: 1, duration: 1, keyPrefix: 'brief' })
assert.equal(await passes(brief, 'x'), true)
await waitUntil(() => passes(brief, 'x'), 'a window moves on')

await restart()
assert.equal(await passes(limiter, 'someone'), false)
assert.equal((await limiter.get('someone')).consumedPoints >= 10, true)
assert.equal(await passes(blocking, 'x'), false)
await assert.rejects(once.lock('held', 1000))
await held.unlock()
await (await once.lock('held', 1000)).unlock()
shown('exclusion, expiry, prolonging, a lock held through a kill; limits over parallel requests, blocking, bursts, windows')
