// connect-redis behind express-session: a web server whose sessions outlive a kill of the store.

import assert from 'node:assert/strict'
import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import { createClient } from 'redis'
import { PORT, restart, shown, waitUntil } from './program.mjs'

const client = createClient({ socket: { port: PORT } })
client.on('error', () => {})
await client.connect()
await client.flushAll()
const store = new RedisStore({ client, ttl: 1000 })
const app = express()
app.use(session({ store, secret: 'of this test', resave: false, saveUninitialized: false }))
app.get('/count', (request, response) => {
  request.session.views = (request.session.views ?? 0) + 1
  response.json({ views: request.session.views })
})
app.get('/leave', (request, response) => request.session.destroy(() => response.json({})))
const server = await new Promise((done) => {
  const listening = app.listen(0, '127.0.0.1', () => done(listening))
})
const url = (path) => `http://127.0.0.1:${server.address().port}${path}`

async function visit(path, cookie) {
  const response = await fetch(url(path), { headers: cookie ? { cookie } : {} })
  assert.equal(response.status, 200)
  const set = response.headers.get('set-cookie')
  return { cookie: set ? set.split(';')[0] : cookie, ...(await response.json()) }
}

const visitors = await Promise.all(Array.from({ length: 50 }, () => visit('/count')))
assert.equal(new Set(visitors.map(({ cookie }) => cookie)).size, 50)
for (const { cookie } of visitors) assert.equal((await visit('/count', cookie)).views, 2)
assert.equal((await store.all()).length, 50)
const [key] = await client.keys('sess:*')
assert.ok((await client.ttl(key)) > 900)

await restart()
await waitUntil(() => client.isReady, 'the client is connected again')
for (const { cookie } of visitors) assert.equal((await visit('/count', cookie)).views, 3)
await visit('/leave', visitors[0].cookie)
assert.equal((await visit('/count', visitors[0].cookie)).views, 1)
await new Promise((done) => store.clear(done))
assert.equal((await client.keys('sess:*')).length, 0)
shown('sessions of fifty visitors, their expiry, leaving, clearing')
