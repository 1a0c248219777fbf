"""Celery with Redis as broker and result store: tasks, retries, countdowns, chords; none is lost when the server is killed."""

import os
import subprocess
import sys

import celery
import celery.exceptions
import celery.result
import redis
from program import PORT, TAG, URL, restart, shown, wait_until

app = celery.Celery("celery_jobs", broker=URL, backend=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    result_expires=1000,
    broker_transport_options={"visibility_timeout": 3600, "global_keyprefix": TAG},
    result_backend_transport_options={"global_keyprefix": TAG},
    worker_hijack_root_logger=False,
)


@app.task
def add(a: int, b: int) -> int:
    redis.Redis(port=PORT).sadd("done", f"{a}+{b}")
    return a + b


@app.task
def total(numbers: list) -> int:
    return sum(numbers)


@app.task(bind=True, max_retries=5)
def fail_twice(self) -> str:
    if redis.Redis(port=PORT).incr("attempts") < 3:
        raise self.retry(countdown=0)
    return "at last"


@app.task
def always_fails() -> None:
    raise ValueError("never")


def worker() -> subprocess.Popen:
    arguments = ["-A", "celery_jobs", "worker", "--pool", "solo", "--loglevel", "ERROR", "--without-mingle"]
    command = [sys.executable, "-m", "celery", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.abspath(__file__)), "FASTKEEP_PORT": str(PORT)}
    return subprocess.Popen(command, env=environment, stdout=sys.stderr)


def main() -> None:
    r = redis.Redis(port=PORT)
    r.flushall()
    first = [add.delay(n, 1) for n in range(20)]
    running = worker()
    try:
        assert [result.get(timeout=60) for result in first] == [n + 1 for n in range(20)]
        assert fail_twice.delay().get(timeout=60) == "at last"
        failed = always_fails.delay()
        try:
            failed.get(timeout=60)
            raise AssertionError("a failed task must raise")
        except ValueError as error:
            assert str(error) == "never"
        assert add.apply_async((1000, 1), countdown=1).get(timeout=60) == 1001
        chord = celery.chord([add.s(n, n) for n in range(10)])(total.s())
        assert chord.get(timeout=60) == 90
        assert celery.chain(add.s(1, 2), add.s(3)).delay().get(timeout=60) == 6
        assert 0 < r.ttl(app.backend.get_key_for_task(first[0].id)) <= 1000
        # The worker is connected while the server is killed, and finds its way back.
        restart()
        assert first[3].get(timeout=60) == 4
        wait_until(lambda: answers(add.delay(2000, 1), 2001), "the worker takes tasks again")
    finally:
        running.terminate()
        running.wait(30)
    # Nobody works: what is enqueued waits, through a kill too.
    waiting = [add.delay(n, 5) for n in range(3000, 3050)]
    restart()
    assert r.llen(f"{TAG}celery") == 50
    running = worker()
    try:
        assert [result.get(timeout=60) for result in waiting] == [n + 5 for n in range(3000, 3050)]
    finally:
        running.terminate()
        running.wait(30)
    done = {name.decode() for name in r.smembers("done")}
    assert {f"{n}+5" for n in range(3000, 3050)} <= done and {f"{n}+1" for n in range(20)} <= done
    shown("tasks, results, retry, failure, countdown, chord, chain, expiry, a worker across a restart")


def answers(result: celery.result.AsyncResult, value: int) -> bool:
    try:
        return result.get(timeout=10) == value
    except (celery.exceptions.TimeoutError, redis.ConnectionError, RuntimeError):
        return False


if __name__ == "__main__":
    # Tasks are named by their module, which the worker imports.
    import celery_jobs

    celery_jobs.main()
