"""An ordinary redis-py program: every family it would use, in RESP2 and RESP3. Usage: redis_py.py PORT [CA CERT KEY], the latter for TLS."""

import sys

import redis


def strings(r: redis.Redis) -> None:
    assert r.set("s", "v") is True
    assert r.get("s") == b"v"
    assert r.set("s", "w", nx=True) is None
    assert r.set("s", "w", get=True) == b"v"
    assert r.incrby("n", 5) == 5
    assert r.incrbyfloat("f", 0.5) == 0.5
    assert r.mset({"{t}a": 1, "{t}b": 2}) is True
    assert r.mget("{t}a", "{t}b", "{t}none") == [b"1", b"2", None]
    assert r.append("s", "xyz") == 4
    assert r.getrange("s", 0, 1) == b"wx"
    assert r.set("gone", "soon", px=100_000) and 99_000 < r.pttl("gone") <= 100_000
    assert r.persist("gone") and r.ttl("gone") == -1


def collections(r: redis.Redis) -> None:
    assert r.hset("h", mapping={"a": 1, "b": 2}) == 2
    assert r.hgetall("h") == {b"a": b"1", b"b": b"2"}
    assert dict(r.hscan_iter("h")) == {b"a": b"1", b"b": b"2"}
    assert r.rpush("l", *range(10)) == 10
    assert r.lrange("l", 2, 4) == [b"2", b"3", b"4"]
    assert r.lmove("l", "l", "LEFT", "RIGHT") == b"0"
    assert r.sadd("{t}x", 1, 2, 3) == 3 and r.sadd("{t}y", 2, 3, 4) == 3
    assert r.sinter("{t}x", "{t}y") == {b"2", b"3"}
    assert r.zadd("z", {"one": 1, "two": 2, "three": 3}) == 3
    assert r.zrange("z", 0, -1, withscores=True) in (
        [(b"one", 1.0), (b"two", 2.0), (b"three", 3.0)],
        [[b"one", 1.0], [b"two", 2.0], [b"three", 3.0]],
    )
    assert r.zrangebyscore("z", "(1", "+inf") == [b"two", b"three"]
    assert r.zincrby("z", 5, "one") == 6.0


def transactions(r: redis.Redis) -> None:
    with r.pipeline(transaction=True) as p:
        assert p.set("{q}1", "a").incr("{q}n").get("{q}1").execute() == [True, 1, b"a"]
    with r.pipeline() as p:
        p.watch("{q}1")
        r.set("{q}1", "changed behind the back")
        p.multi()
        p.set("{q}1", "mine")
        try:
            p.execute()
            raise AssertionError("WATCH must stop this transaction")
        except redis.WatchError:
            pass
    try:
        r.incr("{q}1")
        raise AssertionError("INCR of a text must fail")
    except redis.ResponseError as error:
        assert str(error) == "value is not an integer or out of range", error


def keyspace(r: redis.Redis) -> None:
    names = {f"scan:{n}".encode() for n in range(500)}
    for name in names:
        r.set(name, 1)
    assert set(r.scan_iter("scan:*", count=50)) == names
    assert r.type("z") in (b"zset", "zset")
    assert r.delete(*names) == 500
    assert r.info()["redis_version"].startswith("7.")
    assert r.config_get("maxclients")
    assert r.client_setname("program") and r.client_getname() in ("program", b"program")


def main() -> None:
    names = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    tls = {"ssl": True, **dict(zip(names, sys.argv[2:]))} if sys.argv[2:] else {}
    for protocol in (2, 3):
        r = redis.Redis(port=int(sys.argv[1]), protocol=protocol, **tls)
        assert r.ping()
        r.flushall()
        strings(r)
        collections(r)
        transactions(r)
        keyspace(r)
    print("redis-py: all as expected")


main()
