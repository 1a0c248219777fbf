"""redis-py, wide: what a program would use beside plain reads and writes, blocking and asynchronous."""

import asyncio
import threading

import redis
import redis.asyncio
from program import PORT, TAG, restart, shown, wait_until


def scripts(r: redis.Redis) -> None:
    add = r.register_script("local n = redis.call('INCRBY', KEYS[1], ARGV[1]) return {n, ARGV[1]}")
    assert add(keys=[f"{TAG}counter"], args=[5]) == [5, b"5"]
    r.script_flush()
    # The library loads it again by itself.
    assert add(keys=[f"{TAG}counter"], args=[2]) == [7, b"2"]
    assert r.eval("return redis.call('GET', KEYS[1])", 1, f"{TAG}counter") == b"7"
    try:
        r.eval("return redis.call('LPUSH', KEYS[1], 1)", 1, f"{TAG}counter")
        raise AssertionError("a script's command of the wrong type must fail")
    except redis.ResponseError as error:
        assert "WRONGTYPE" in str(error), error


def publishing(r: redis.Redis) -> None:
    with r.pubsub() as heard:
        heard.subscribe("news")
        heard.psubscribe("news.*")
        assert [heard.get_message(timeout=10)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
        assert r.publish("news", "one") == 1 and r.publish("news.local", "two") == 1
        messages = [heard.get_message(timeout=10) for _ in range(2)]
        assert [(m["type"], m["channel"], m["data"]) for m in messages] == [
            ("message", b"news", b"one"),
            ("pmessage", b"news.local", b"two"),
        ]
        assert dict(r.pubsub_numsub("news")) == {b"news": 1}


def streams(r: redis.Redis) -> None:
    ids = [r.xadd("stream", {"n": n}) for n in range(10)]
    assert r.xgroup_create("stream", "group", id="0") is True
    [[_, taken]] = r.xreadgroup("group", "one", {"stream": ">"}, count=6)
    assert [entry for entry, _ in taken] == ids[:6]
    assert r.xack("stream", "group", *ids[:4]) == 4
    assert r.xpending("stream", "group")["pending"] == 2
    claimed = r.xautoclaim("stream", "group", "two", min_idle_time=0)[1]
    assert [entry for entry, _ in claimed] == ids[4:6]
    [[_, rest]] = r.xreadgroup("group", "two", {"stream": ">"}, block=1000)
    assert [entry for entry, _ in rest] == ids[6:]


def blocking(r: redis.Redis) -> None:
    got = []
    thread = threading.Thread(target=lambda: got.append(r.blpop(["waited"], timeout=20)))
    thread.start()
    wait_until(lambda: int(r.info("clients")["blocked_clients"]) > 0, "BLPOP waits")
    r.rpush("waited", "here")
    thread.join(20)
    assert got in ([(b"waited", b"here")], [[b"waited", b"here"]])
    assert r.blpop(["waited"], timeout=0.1) is None


def more_types(r: redis.Redis) -> None:
    assert r.geoadd("places", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
    assert r.geosearch("places", longitude=15, latitude=37, radius=200, unit="km", sort="ASC") == [b"Catania", b"Palermo"]
    assert r.pfadd("visitors", *range(1000)) == 1 and 950 < r.pfcount("visitors") < 1050
    assert r.bitfield("bits").set("u8", 0, 255).incrby("u8", 0, 10).execute() == [0, 9]
    assert r.setbit("flags", 7, 1) == 0 and r.bitcount("flags") == 1
    dump = r.dump(f"{TAG}counter")
    assert r.restore(f"{TAG}counter:again", 0, dump) in (True, b"OK") and r.get(f"{TAG}counter:again") == b"7"
    assert r.object("encoding", f"{TAG}counter") in (b"int", "int")
    r.hset(f"{TAG}many", mapping={f"f{n}": n for n in range(1000)})
    assert len(dict(r.hscan_iter(f"{TAG}many"))) == 1000
    assert r.copy(f"{TAG}many", f"{TAG}many:copy") and r.hlen(f"{TAG}many:copy") == 1000
    assert r.getex(f"{TAG}counter", ex=100) == b"7" and 90 < r.ttl(f"{TAG}counter") <= 100
    assert r.lcs(f"{TAG}counter", f"{TAG}counter:again") in (b"7", "7")
    assert r.sort("waited", desc=True) == []


async def asynchronous() -> None:
    r = redis.asyncio.Redis(port=PORT)
    await asyncio.gather(*(r.incr(f"{TAG}together") for _ in range(200)))
    assert await r.get(f"{TAG}together") == b"200"
    async with r.pipeline(transaction=True) as pipe:
        assert await pipe.incr(f"{TAG}together").get(f"{TAG}together").execute() == [201, b"201"]
    async with r.pubsub() as heard:
        await heard.subscribe("async")
        await heard.get_message(timeout=10)
        await r.publish("async", "hello")
        message = await heard.get_message(ignore_subscribe_messages=True, timeout=10)
        assert message["data"] == b"hello", message
    await r.aclose()


def transactions_are_retried(r: redis.Redis) -> None:
    def add(pipe: redis.client.Pipeline) -> None:
        now = int(pipe.get("sum") or 0)
        pipe.multi()
        pipe.set("sum", now + 1)

    r.delete("sum")
    threads = [threading.Thread(target=lambda: [r.transaction(add, "sum") for _ in range(25)]) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert r.get("sum") == b"100"


def main() -> None:
    for protocol in (2, 3):
        r = redis.Redis(port=PORT, protocol=protocol)
        r.flushall()
        scripts(r)
        publishing(r)
        if protocol == 2:
            streams(r)
        blocking(r)
        more_types(r)
        transactions_are_retried(r)
        asyncio.run(asynchronous())
    written = {f"kept:{n}": str(n).encode() for n in range(500)}
    with r.pipeline(transaction=False) as pipe:
        for name, value in written.items():
            pipe.set(name, value, ex=1000 if name.endswith("7") else None)
        pipe.execute()
    r.set("gone", 1, px=1)
    restart()
    # The same pool: its connections are dead, and the library makes new ones.
    assert dict(zip(written, r.mget(list(written)))) == written
    assert 900 < r.ttl("kept:7") <= 1000 and r.ttl("kept:8") == -1 and r.get("gone") is None
    shown("scripts, pub/sub, streams with groups, blocking, geo, bits, DUMP, transactions with retries, asyncio")


main()
