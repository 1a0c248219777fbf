"""Locks: redis-py's own and python-redis-lock exclude each other's holders, end, are prolonged, and outlive a kill."""

import threading
import time

import redis
import redis_lock
from program import PORT, TAG, restart, shown, wait_until
from redis.exceptions import LockError, LockNotOwnedError


def exclusion(r: redis.Redis, make) -> None:
    r.set("guarded", 0)

    def add() -> None:
        for _ in range(10):
            with make():
                # Read and write apart: lost updates show if two are inside.
                now = int(r.get("guarded"))
                time.sleep(0.001)
                r.set("guarded", now + 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(90) for thread in threads]
    assert r.get("guarded") == b"40", r.get("guarded")


def main() -> None:
    r = redis.Redis(port=PORT)
    r.flushall()
    exclusion(r, lambda: r.lock("lock", timeout=30, sleep=0.005))
    exclusion(r, lambda: redis_lock.Lock(r, f"{TAG}other-lock", expire=30))

    lock = r.lock("short", timeout=0.2)
    assert lock.acquire(blocking=False) and not r.lock("short").acquire(blocking=False)
    assert lock.extend(0.5) and lock.owned()
    wait_until(lambda: not lock.owned(), "a lock ends")
    try:
        lock.release()
        raise AssertionError("what has ended can't be given back")
    except LockNotOwnedError:
        pass

    held = r.lock("held", timeout=1000)
    assert held.acquire()
    renewed = redis_lock.Lock(r, f"{TAG}renewed", expire=2, auto_renewal=True)
    assert renewed.acquire(blocking=False)
    # Renewed by a thread of the library in the meantime.
    time.sleep(2.5)
    assert not redis_lock.Lock(r, f"{TAG}renewed", expire=2).acquire(blocking=False)
    renewed.release()
    restart()
    assert held.owned() and not r.lock("held").acquire(blocking=False)
    held.release()
    try:
        held.release()
        raise AssertionError("a lock is given back once")
    except LockError:
        pass
    assert r.lock("held").acquire(blocking=False)
    shown("exclusion over threads, expiry, prolonging, ownership, automatic renewal, a lock held through a kill")


main()
