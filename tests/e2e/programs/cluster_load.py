"""redis-py's RedisCluster under load, while nodes are killed and shards handed over by whoever started this.

Usage: cluster_load.py PORT...

It says `answered N M` now and then, M being those without an answer, and ends when its input does. Every write that was answered
must be there then; it says how many, and how many got no answer.
"""

import sys
import threading
import time

from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

THREADS = 4
KEYS = 24
PUSH = "return redis.call('RPUSH', KEYS[1], ARGV[1])"

ports = [int(port) for port in sys.argv[1:]]
stop = threading.Event()
answered: list[dict[str, set[str]]] = [{} for _ in range(THREADS)]
unknown = [0] * THREADS


def connect() -> RedisCluster:
    return RedisCluster(
        startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports],
        socket_timeout=20,
        socket_connect_timeout=5,
        retry=Retry(ConstantBackoff(0.05), 3),
        cluster_error_retry_attempts=8,
    )


def work(thread: int) -> None:
    client = connect()
    turn = 0
    while not stop.is_set():
        turn += 1
        key, value = f"list:{thread}:{turn % KEYS}", str(turn)
        try:
            if turn % 5 == 0:
                client.eval(PUSH, 1, key, value)
            else:
                client.rpush(key, value)
            answered[thread].setdefault(key, set()).add(value)
        except (RedisError, RedisClusterException, OSError):
            unknown[thread] += 1
            time.sleep(0.02)


def count() -> int:
    return sum(len(values) for lists in answered for values in list(lists.values()))


def tell() -> None:
    while not stop.is_set():
        print(f"answered {count()} {sum(unknown)}", flush=True)
        time.sleep(0.05)


threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(THREADS)]
threads.append(threading.Thread(target=tell, daemon=True))
for thread in threads:
    thread.start()
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()

client = connect()
for lists in answered:
    for key, values in lists.items():
        there = {item.decode() for item in client.lrange(key, 0, -1)}
        assert values <= there, f"{key} has lost {sorted(values - there)[:10]}"
print(f"shown: {count()} writes answered and kept, {sum(unknown)} without an answer", flush=True)
