"""limits: fixed, moving and sliding windows over many threads; counts outlive a kill."""

import threading

import limits
import limits.strategies
import redis
from program import URL, restart, shown, wait_until


def passed(limiter, item, name: str, tries: int) -> int:
    counts = []

    def hit() -> None:
        counts.append(sum(limiter.hit(item, name) for _ in range(tries)))

    threads = [threading.Thread(target=hit) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    return sum(counts)


def main() -> None:
    storage = limits.storage.storage_from_string(URL)
    redis.Redis.from_url(URL).flushall()
    assert storage.check()
    item = limits.parse("30/hour")
    strategies = limits.strategies
    limiters = [
        strategies.FixedWindowRateLimiter(storage),
        strategies.MovingWindowRateLimiter(storage),
        strategies.SlidingWindowCounterRateLimiter(storage),
    ]
    for limiter in limiters:
        name = type(limiter).__name__
        assert passed(limiter, item, name, 20) == 30, name
        assert not limiter.test(item, name) and limiter.get_window_stats(item, name).remaining == 0
    brief = limits.parse("2/second")
    for limiter in limiters:
        assert limiter.hit(brief, type(limiter).__name__) and limiter.hit(brief, type(limiter).__name__)
        wait_until(lambda: limiter.hit(brief, type(limiter).__name__), "a window moves on")
    restart()
    for limiter in limiters:
        name = type(limiter).__name__
        assert not limiter.hit(item, name), name
        limiter.clear(item, name)
        assert limiter.hit(item, name), name
    shown("fixed, moving and sliding windows over threads, expiry, clearing")


main()
