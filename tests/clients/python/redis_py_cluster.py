"""redis-py's RedisCluster: routing by slot, pipelines over slots, scripts, what concerns all nodes, messages, and a restart."""

from program import PORT, restart, shown, wait_until
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry


def connect(**more) -> RedisCluster:
    nodes = [ClusterNode("127.0.0.1", PORT)]
    return RedisCluster(startup_nodes=nodes, retry=Retry(ConstantBackoff(0.05), 3), **more)


r = connect()
r.flushall()
names = [f"key:{n}" for n in range(200)]
for n, name in enumerate(names):
    assert r.set(name, n) is True
assert [r.get(name) for name in names] == [str(n).encode() for n in range(200)]
assert r.dbsize(target_nodes=RedisCluster.PRIMARIES) == 200
assert {key.decode() for key in r.scan_iter(count=50)} == set(names)
assert r.mget_nonatomic(names) == [str(n).encode() for n in range(200)]
assert r.mset_nonatomic({name: "x" for name in names}) is not None
assert r.mset({"{t}a": 1, "{t}b": 2}) is True and r.mget("{t}a", "{t}b") == [b"1", b"2"]
assert r.delete(*names[:50]) == 50 and r.exists(*names) == 150

with r.pipeline() as pipe:
    for name in names:
        pipe.incrby(f"n:{name}", 2)
    assert pipe.execute() == [2] * 200

try:
    r.mget("a", "b")
    raise AssertionError("keys in two slots")
except RedisClusterException:
    pass

code = "redis.call('INCRBY', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[2])"
assert r.eval(code, 2, "{s}n", "{s}m", 5) is None
sha = r.script_load(code)
assert r.evalsha(sha, 2, "{s}n", "{s}n", 5) == b"10"
assert r.function_load("#!lua name=lib\nredis.register_function('add', function(k, a) return redis.call('INCRBY', k[1], a[1]) end)")
assert r.fcall("add", 1, "{s}n", 1) == 11

r.rpush("queue", "job")
assert r.blpop("queue", 5) == (b"queue", b"job") and r.blpop("queue", 0.1) is None
r.xadd("stream", {"f": "v"})
assert len(r.xread({"stream": 0})[0][1]) == 1
assert set(r.zrange("none", 0, -1)) == set()

for protocol in (2, 3):
    listener = connect(protocol=protocol).pubsub()
    listener.ssubscribe("news")
    wait_until(lambda: (listener.get_sharded_message(timeout=1) or {}).get("type") == "ssubscribe", "a subscription")
    assert r.spublish("news", "hello") >= 1
    message = {}

    def heard() -> bool:
        message.update(listener.get_sharded_message(timeout=1) or {})
        return message.get("type") == "smessage"

    wait_until(heard, "a message")
    assert message["data"] == b"hello"
    listener.close()

replicas = connect(read_from_replicas=True)
assert replicas.get("{t}a") == b"1"
info = r.cluster_info(target_nodes=RedisCluster.RANDOM)
assert info["cluster_state"] == "ok" and int(info["cluster_slots_ok"]) == 16384
assert all(node["slots"] for node in r.cluster_nodes().values())
assert r.cluster_keyslot("{t}a") == r.cluster_keyslot("{t}b")
assert r.cluster_countkeysinslot(r.cluster_keyslot("{t}a")) == 2

for n in range(300):
    r.set(f"kept:{n}", n)
restart()


def is_back() -> bool:
    try:
        return r.get("kept:299") == b"299"
    except (RedisError, OSError):
        return False


wait_until(is_back, "the client finds the nodes again")
assert [r.get(f"kept:{n}") for n in range(300)] == [str(n).encode() for n in range(300)]
assert r.fcall("add", 1, "{s}n", 1) == 12
shown("routing, pipelines over slots, scripts, functions, blocking, SCAN over nodes, shard messages, the map, a restart")
