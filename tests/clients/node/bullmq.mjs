// BullMQ: jobs are added, worked on, retried, delayed, repeated, ordered by priority, and made of others; none is lost
// when the server is killed, with a worker at work and without.

import assert from 'node:assert/strict'
import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq'
import Redis from 'ioredis'
import { PORT, restart, shown, waitUntil } from './program.mjs'

// A hash tag keeps a queue's keys in one shard, wherever there are several.
const prefix = '{bull}'
const connection = { port: PORT, maxRetriesPerRequest: null }
const quiet = (thing) => (thing.on('error', () => {}), thing)

const plain = quiet(new Redis(PORT))
await plain.flushall()
const queue = quiet(new Queue('work', { connection, prefix }))
const events = quiet(new QueueEvents('work', { connection, prefix }))
await events.waitUntilReady()

const attempts = new Map()
const done = []
async function work(job) {
  const tries = (attempts.get(job.id) ?? 0) + 1
  attempts.set(job.id, tries)
  if (job.name === 'fails' || (job.name === 'fails twice' && tries < 3)) throw new Error('not yet')
  if (job.name === 'parent') return Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0)
  await job.updateProgress(100)
  done.push(job.data.n)
  return job.data.n * 2
}
let worker = quiet(new Worker('work', work, { connection, prefix, concurrency: 5 }))

const jobs = await queue.addBulk(Array.from({ length: 50 }, (_, n) => ({ name: 'double', data: { n } })))
assert.deepEqual(await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 60000))), jobs.map((_, n) => n * 2))
const retried = await queue.add('fails twice', { n: 100 }, { attempts: 5, backoff: { type: 'fixed', delay: 50 } })
assert.equal(await retried.waitUntilFinished(events, 60000), 200)
const failed = await queue.add('fails', { n: 0 }, { attempts: 2 })
await assert.rejects(failed.waitUntilFinished(events, 60000), /not yet/)
assert.equal(await queue.getFailedCount(), 1)
const delayed = await queue.add('double', { n: 200 }, { delay: 500 })
assert.equal(await delayed.getState(), 'delayed')
assert.equal(await delayed.waitUntilFinished(events, 60000), 400)
const flows = quiet(new FlowProducer({ connection, prefix }))
const flow = await flows.add({
  name: 'parent',
  queueName: 'work',
  children: [1, 2, 3].map((n) => ({ name: 'double', queueName: 'work', data: { n } })),
})
assert.equal(await flow.job.waitUntilFinished(events, 60000), 12)
assert.equal((await queue.add('double', { n: 300 }, { jobId: 'only once' })).id, 'only once')
await queue.add('double', { n: 300 }, { jobId: 'only once' })
await waitUntil(() => done.includes(300), 'the job of its own name is done')

// By priority, with nobody at work meanwhile.
await worker.close()
await queue.pause()
for (const n of [3, 1, 2]) await queue.add('double', { n: 400 + n }, { priority: n })
await queue.resume()
done.length = 0
worker = quiet(new Worker('work', work, { connection, prefix, concurrency: 1 }))
await waitUntil(() => done.length === 3, 'three are done')
assert.deepEqual(done, [401, 402, 403])

// A repeated one.
await queue.upsertJobScheduler('ticks', { every: 200 }, { name: 'double', data: { n: 500 } })
await waitUntil(() => done.filter((n) => n === 500).length >= 3, 'it is repeated')
await queue.removeJobScheduler('ticks')

// Killed while the worker waits, then while nobody works.
await restart()
const after = await queue.add('double', { n: 600 })
await waitUntil(async () => (await after.getState()) === 'completed', 'the worker is back')
await worker.close()
const waiting = await queue.addBulk(Array.from({ length: 100 }, (_, n) => ({ name: 'double', data: { n: 1000 + n } })))
const later = await queue.add('double', { n: 2000 }, { delay: 300 })
await restart()
assert.equal(await queue.getWaitingCount(), 100)
done.length = 0
worker = quiet(new Worker('work', work, { connection, prefix, concurrency: 5 }))
const states = async () => Promise.all([...waiting, later].map((job) => job.getState()))
await waitUntil(async () => (await states()).every((state) => state === 'completed'), 'all are done')
assert.deepEqual(done.toSorted((a, b) => a - b), [...waiting.map((_, n) => 1000 + n), 2000])
assert.equal((await queue.getJob(waiting[7].id)).returnvalue, 2014)
shown('add, work, events, retries, failure, delay, flows, priorities, repetition, pause, a worker across a restart')
