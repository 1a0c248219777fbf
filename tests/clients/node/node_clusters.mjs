// ioredis' Cluster and node-redis' createCluster: routing by slot, pipelines, transactions, scripts, shard messages, a restart.

import assert from 'node:assert/strict'
import Redis from 'ioredis'
import { createCluster } from 'redis'
import { PORT, restart, shown, waitUntil } from './program.mjs'

const cluster = new Redis.Cluster([{ host: '127.0.0.1', port: PORT }], {
  clusterRetryStrategy: () => 100,
  scaleReads: 'all',
  redisOptions: { maxRetriesPerRequest: null },
})
cluster.on('error', () => {})
await waitUntil(() => cluster.status === 'ready', 'the nodes are found')
await Promise.all(cluster.nodes('master').map((node) => node.flushall()))

const names = Array.from({ length: 200 }, (_, at) => `key:${at}`)
await Promise.all(names.map((name, at) => cluster.set(name, at)))
assert.deepEqual(await Promise.all(names.map((name) => cluster.get(name))), names.map((_, at) => String(at)))
const sizes = await Promise.all(cluster.nodes('master').map((node) => node.dbsize()))
assert.equal(sizes.reduce((sum, size) => sum + size), 200)
assert.deepEqual(await cluster.multi().set('{t}a', 1).incr('{t}a').get('{t}a').exec(), [
  [null, 'OK'],
  [null, 2],
  [null, '2'],
])
const piped = await cluster.pipeline().set('{t}b', 1).incrby('{t}b', 4).exec()
assert.deepEqual(piped.map(([, value]) => value), ['OK', 5])
await assert.rejects(cluster.mget('a', 'b'), /CROSSSLOT/)
cluster.defineCommand('addTo', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" })
assert.equal(await cluster.addTo('{t}n', 5), 5)
const found = []
for (const node of cluster.nodes('master')) {
  for await (const keys of node.scanStream({ match: 'key:*' })) found.push(...keys)
}
assert.equal(new Set(found).size, 200)

const other = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${PORT}` }] })
other.on('error', () => {})
await other.connect()
assert.equal(await other.get('key:7'), '7')
assert.deepEqual(await other.multi().set('{t}c', '1').incr('{t}c').exec(), ['OK', 2])
await other.hSet('h', { f: '1', g: '2' })
assert.deepEqual({ ...(await other.hGetAll('h')) }, { f: '1', g: '2' })
const heard = []
await other.sSubscribe('news', (message) => heard.push(message))
await other.sPublish('news', 'hello')
await waitUntil(() => heard.length > 0, 'a message of a shard comes')
assert.deepEqual(heard, ['hello'])
await other.sUnsubscribe('news')
await other.disconnect()

await Promise.all(Array.from({ length: 300 }, (_, at) => cluster.set(`kept:${at}`, at)))
await restart()
await waitUntil(async () => (await cluster.get('kept:299').catch(() => null)) === '299', 'the nodes are found again')
const kept = await Promise.all(Array.from({ length: 300 }, (_, at) => cluster.get(`kept:${at}`)))
assert.deepEqual(kept, Array.from({ length: 300 }, (_, at) => String(at)))
cluster.disconnect()
shown('routing, transactions, pipelines, scripts, SCAN over nodes, shard messages, a restart, by ioredis and node-redis')
