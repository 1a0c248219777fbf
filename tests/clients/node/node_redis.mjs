// node-redis: types, pipelines, transactions, scripts, pub/sub, streams, in RESP2 and RESP3, and through a kill.

import assert from 'node:assert/strict'
import { createClient, defineScript, WatchError } from 'redis'
import { PORT, restart, shown, waitUntil } from './program.mjs'

const add = defineScript({
  SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
  NUMBER_OF_KEYS: 1,
  parseCommand(parser, key, by) {
    parser.pushKey(key)
    parser.push(String(by))
  },
  transformReply: (reply) => reply,
})

async function types(client) {
  await client.flushAll()
  assert.equal(await client.set('text', 'ä', { EX: 100 }), 'OK')
  assert.equal(await client.get('text'), 'ä')
  assert.equal(await client.hSet('hash', { a: 1, b: 'two' }), 2)
  assert.deepEqual({ ...(await client.hGetAll('hash')) }, { a: '1', b: 'two' })
  await client.zAdd('board', [{ score: 1.5, value: 'one' }, { score: 2, value: 'two' }])
  assert.deepEqual(await client.zRangeWithScores('board', 0, -1), [
    { value: 'one', score: 1.5 },
    { value: 'two', score: 2 },
  ])
  // All at once: the library puts them in one pipeline.
  const all = await Promise.all(Array.from({ length: 1000 }, () => client.incr('n')))
  assert.deepEqual(all, Array.from({ length: 1000 }, (_, at) => at + 1))
  assert.deepEqual(await client.multi().set('x', 1).incr('x').get('x').exec(), ['OK', 2, '2'])
  assert.equal(await client.add('n', 5), 1005)
  const names = []
  await client.mSet(Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`scan:${at}`, '1'])))
  for await (const keys of client.scanIterator({ MATCH: 'scan:*', COUNT: 50 })) names.push(...[keys].flat())
  assert.equal(new Set(names).size, 300)
  const id = await client.xAdd('stream', '*', { n: '1' })
  await client.xGroupCreate('stream', 'group', '0')
  // Its form depends on the protocol; the identifier is in it.
  const read = await client.xReadGroup('group', 'me', { key: 'stream', id: '>' })
  assert.ok(JSON.stringify(read).includes(id))
  assert.equal(await client.xAck('stream', 'group', id), 1)
  await assert.rejects(client.lPush('text', 'x'), /WRONGTYPE/)
}

async function watching(client) {
  await client.set('watched', 1)
  const other = await client.duplicate().connect()
  await client.watch('watched')
  await other.set('watched', 2)
  await assert.rejects(client.multi().set('watched', 3).exec(), WatchError)
  assert.equal(await client.get('watched'), '2')
  const waiting = client.duplicate()
  await waiting.connect()
  const popped = waiting.blPop('list', 20)
  await waitUntil(async () => (await client.info('clients')).includes('blocked_clients:1'), 'BLPOP waits')
  await other.rPush('list', 'here')
  assert.equal((await popped).element, 'here')
  await Promise.all([other.close(), waiting.close()])
}

async function publishing(client) {
  const subscriber = await client.duplicate().connect()
  const heard = []
  await subscriber.subscribe('news', (message) => heard.push(message))
  await subscriber.pSubscribe('news.*', (message, channel) => heard.push(`${channel}:${message}`))
  await client.publish('news', 'one')
  await client.publish('news.local', 'two')
  await waitUntil(() => heard.length === 2, 'messages come')
  assert.deepEqual(heard, ['one', 'news.local:two'])
  return { subscriber, heard }
}

for (const RESP of [2, 3]) {
  const client = createClient({ socket: { port: PORT }, RESP, scripts: { add } })
  client.on('error', () => {})
  await client.connect()
  await types(client)
  await watching(client)
  const { subscriber, heard } = await publishing(client)
  subscriber.on('error', () => {})
  await Promise.all(Array.from({ length: 500 }, (_, at) => client.set(`kept:${at}`, `value ${at}`)))
  await restart()
  await waitUntil(() => client.isReady && subscriber.isReady, 'the clients are connected again')
  const kept = await Promise.all(Array.from({ length: 500 }, (_, at) => client.get(`kept:${at}`)))
  assert.deepEqual(kept, Array.from({ length: 500 }, (_, at) => `value ${at}`))
  assert.ok((await client.ttl('text')) > 0)
  // The library subscribes again by itself.
  await waitUntil(async () => (await client.publish('news', 'again')) === 1, 'the subscription is back')
  await waitUntil(() => heard.at(-1) === 'again', 'a message comes')
  await Promise.all([client.close(), subscriber.close()])
}
shown('types, pipelines, transactions, WATCH, scripts, blocking, pub/sub, streams, SCAN, in RESP2 and RESP3')
