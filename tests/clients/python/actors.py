"""Dramatiq and Huey: actors with retries, delays and results; none is lost when the server is killed."""

import dramatiq
import huey
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from program import PORT, TAG, restart, shown, wait_until

r = redis.Redis(port=PORT)
broker = RedisBroker(host="127.0.0.1", port=PORT, namespace=f"{TAG}dramatiq")
backend = RedisBackend(host="127.0.0.1", port=PORT)
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)
tasks = huey.RedisHuey(f"{TAG}tasks", host="127.0.0.1", port=PORT)


@dramatiq.actor(store_results=True)
def square(n: int) -> int:
    r.sadd("squared", n)
    return n * n


@dramatiq.actor(max_retries=5, min_backoff=10, max_backoff=20)
def fail_twice() -> None:
    if r.incr("attempts") < 3:
        raise RuntimeError("not yet")
    r.set("at last", 1)


@tasks.task()
def cube(n: int) -> int:
    return n**3


@tasks.task(retries=3)
def fail_twice_too() -> None:
    if r.incr("attempts, too") < 3:
        raise RuntimeError("not yet")
    r.set("at last, too", 1)


def main() -> None:
    r.flushall()
    messages = [square.send(n) for n in range(30)]
    fail_twice.send()
    delayed = square.send_with_options(args=(100,), delay=500)
    restart()
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=4)
    worker.start()
    try:
        assert [m.get_result(block=True, timeout=60_000) for m in messages] == [n * n for n in range(30)]
        assert delayed.get_result(block=True, timeout=60_000) == 10_000
        wait_until(lambda: r.exists("at last"), "the third attempt")
    finally:
        worker.stop()
    assert {int(n) for n in r.smembers("squared")} == {*range(30), 100}

    results = [cube(n) for n in range(10)]
    fail_twice_too()
    later = cube.schedule((20,), delay=1)
    restart()
    consumer = tasks.create_consumer(workers=2, initial_delay=0.01, backoff=1, max_delay=0.1, periodic=False)
    consumer.start()
    try:
        assert [result.get(blocking=True, timeout=60) for result in results] == [n**3 for n in range(10)]
        wait_until(lambda: r.exists("at last, too"), "the third attempt")
        assert later.get(blocking=True, timeout=60) == 8000
    finally:
        consumer.stop(graceful=True)
    shown("messages, results, retries, delays, with two libraries")


main()
