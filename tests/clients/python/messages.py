"""Messages, with redis-py: channels, patterns and shard channels over many connections, events of keys, invalidations that
another connection is told of, and subscriptions that the library takes up again after the server was killed."""

import asyncio
import threading

import redis
import redis.asyncio
from program import PORT, restart, shown, wait_until

TIMEOUT = 20


def ready(heard: redis.client.PubSub, count: int) -> None:
    """All subscriptions are confirmed."""
    for _ in range(count):
        assert "subscribe" in heard.get_message(timeout=TIMEOUT)["type"]


def many_subscribers(r: redis.Redis) -> None:
    """Everybody gets every message once, in order."""
    listeners = [r.pubsub() for _ in range(8)]
    for at, heard in enumerate(listeners):
        heard.subscribe("feed") if at % 2 else heard.psubscribe("fe*")
        ready(heard, 1)
    publishers = 4
    texts = [[f"{p}:{n}".encode() for n in range(100)] for p in range(publishers)]

    def publish(own: list) -> None:
        with redis.Redis(port=PORT) as connection:
            for text in own:
                assert connection.publish("feed", text) == len(listeners)

    threads = [threading.Thread(target=publish, args=(own,)) for own in texts]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    for heard in listeners:
        got = [heard.get_message(timeout=TIMEOUT)["data"] for _ in range(100 * publishers)]
        for p, own in enumerate(texts):
            assert [text for text in got if text.startswith(b"%d:" % p)] == own
        assert heard.get_message(timeout=0) is None
        heard.close()
    wait_until(lambda: r.pubsub_numsub("feed") == [(b"feed", 0)] and r.pubsub_numpat() == 0, "all have left")


def shard_channels(r: redis.Redis) -> None:
    with r.pubsub() as heard:
        heard.execute_command("SSUBSCRIBE", "orders")
        assert heard.parse_response(block=True)[:2] == [b"ssubscribe", b"orders"]
        assert r.execute_command("SPUBLISH", "orders", "new") == 1
        assert heard.parse_response(block=True) == [b"smessage", b"orders", b"new"]
        assert r.publish("orders", "to nobody") == 0


def events_of_keys(r: redis.Redis) -> None:
    before = r.config_get("notify-keyspace-events")["notify-keyspace-events"]
    r.config_set("notify-keyspace-events", "KEA")
    with r.pubsub() as heard:
        heard.psubscribe("__keyevent@0__:expired", "__keyspace@0__:watched:*")
        ready(heard, 2)
        for n in range(4):
            r.set(f"watched:{n}", 1, px=20)
        seen = set()
        while len(seen) < 16:
            message = heard.get_message(timeout=TIMEOUT)
            seen.add((message["channel"], message["data"]))
        for n in range(4):
            name = b"watched:%d" % n
            assert (b"__keyevent@0__:expired", name) in seen
            assert {(b"__keyspace@0__:" + name, event) for event in (b"set", b"expire", b"expired")} <= seen
    r.config_set("notify-keyspace-events", before)


def redirected(r: redis.Redis) -> None:
    """RESP2: another connection is told, by a message."""
    told = redis.Redis(port=PORT, single_connection_client=True)
    heard = told.pubsub()
    heard.subscribe("__redis__:invalidate")
    ready(heard, 1)
    listener = next(client["id"] for client in r.client_list() if client["sub"] == "1")
    reader = redis.Redis(port=PORT, single_connection_client=True)
    reader.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", listener, "BCAST", "PREFIX", "user:")
    r.mset({"user:1": 1, "other:1": 1})
    message = heard.get_message(timeout=TIMEOUT)
    assert message["data"] == [b"user:1"], message
    heard.close()
    reader.close()


async def asynchronous() -> None:
    r = redis.asyncio.Redis(port=PORT)

    async def listen(name: str) -> list:
        async with r.pubsub() as heard:
            await heard.subscribe("all", name)
            got = []
            while len(got) < 2:
                message = await heard.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT)
                if message:
                    got.append(message["data"])
            return got

    listening = [asyncio.create_task(listen(f"own:{n}")) for n in range(10)]
    while dict(await r.pubsub_numsub("all"))[b"all"] < 10 or dict(await r.pubsub_numsub("own:9"))[b"own:9"] < 1:
        await asyncio.sleep(0.01)
    for n in range(10):
        assert await r.publish(f"own:{n}", n) == 1
    assert await r.publish("all", "everybody") == 10
    assert await asyncio.gather(*listening) == [[b"%d" % n, b"everybody"] for n in range(10)]
    await r.aclose()


def main() -> None:
    r = redis.Redis(port=PORT)
    r.flushall()
    many_subscribers(r)
    shard_channels(r)
    events_of_keys(r)
    redirected(r)
    asyncio.run(asynchronous())
    heard = r.pubsub()
    heard.subscribe("again")
    ready(heard, 1)
    restart()
    # The library subscribes again by itself.
    try:
        heard.get_message(timeout=1)
    except redis.ConnectionError:
        pass
    wait_until(lambda: r.publish("again", "back") == 1 or heard.get_message(timeout=0.1), "it listens again")
    shown("channels, patterns, shard channels, events of keys, redirected invalidations, subscribing again, asyncio")


main()
