// ioredis: pipelines, transactions, scripts as commands, pub/sub, streams, and what waits while the server is down.

import assert from 'node:assert/strict'
import Redis from 'ioredis'
import { PORT, restart, shown, waitUntil } from './program.mjs'

const redis = new Redis(PORT, { maxRetriesPerRequest: null })
redis.on('error', () => {})
await redis.flushall()

redis.defineCommand('addTo', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" })
assert.equal(await redis.addTo('n', 5), 5)
await redis.script('FLUSH')
assert.equal(await redis.addTo('n', 5), 10)

const results = await redis.pipeline().set('a', 1).incr('a').lpush('a', 'x').get('a').exec()
assert.deepEqual(results.map(([error, value]) => error?.message ?? value), [
  'OK',
  2,
  'WRONGTYPE Operation against a key holding the wrong kind of value',
  '2',
])
assert.deepEqual(await redis.multi().hset('h', { f: 1, g: 2 }).hincrby('h', 'f', 4).hgetall('h').exec(), [
  [null, 2],
  [null, 5],
  [null, { f: '5', g: '2' }],
])
assert.deepEqual(await redis.getBuffer('a'), Buffer.from('2'))
await redis.zadd('z', 1, 'one', 2, 'two')
assert.deepEqual(await redis.zrange('z', 0, -1, 'WITHSCORES'), ['one', '1', 'two', '2'])

const subscriber = redis.duplicate()
subscriber.on('error', () => {})
const heard = []
subscriber.on('message', (channel, message) => heard.push(`${channel}:${message}`))
await subscriber.subscribe('news')
assert.equal(await redis.publish('news', 'one'), 1)
await waitUntil(() => heard.length === 1, 'a message comes')

const reader = redis.duplicate()
reader.on('error', () => {})
const read = reader.xread('BLOCK', 20000, 'STREAMS', 'stream', '$')
await waitUntil(async () => (await redis.info('clients')).includes('blocked_clients:1'), 'XREAD waits')
await redis.xadd('stream', '*', 'k', 'v')
assert.equal((await read)[0][1][0][1][1], 'v')

const names = []
await redis.mset(Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`scan:${at}`, 1])))
for await (const keys of redis.scanStream({ match: 'scan:*' })) names.push(...keys)
assert.equal(new Set(names).size, 300)

await Promise.all(Array.from({ length: 500 }, (_, at) => redis.set(`kept:${at}`, at)))
await restart()
// Commands wait in the client until it is connected again.
const kept = await Promise.all(Array.from({ length: 500 }, (_, at) => redis.get(`kept:${at}`)))
assert.deepEqual(kept, Array.from({ length: 500 }, (_, at) => String(at)))
assert.equal(await redis.get('n'), '10')
await waitUntil(async () => (await redis.publish('news', 'again')) === 1, 'the subscription is back')
await waitUntil(() => heard.at(-1) === 'news:again', 'a message comes')
shown('pipelines, transactions, scripts as commands, buffers, pub/sub, blocking streams, SCAN, waiting while it is down')
