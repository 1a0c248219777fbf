"""Caches: django-redis behind Django's cache and sessions, and aiocache."""

import asyncio

import django
from django.conf import settings
from program import PORT, TAG, URL, restart, shown, wait_until

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": URL,
            "KEY_PREFIX": TAG,
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SECRET_KEY="of this test",
)
django.setup()

import aiocache  # noqa: E402
from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402


def django_cache() -> None:
    cache.clear()
    cache.set("answer", {"n": 42}, timeout=100)
    assert cache.get("answer") == {"n": 42} and 0 < cache.ttl("answer") <= 100
    assert cache.add("answer", 1) is False and cache.add("other", 1) is True
    assert cache.incr("other", 4) == 5 and cache.decr("other") == 4
    cache.set_many({f"page:{n}": n for n in range(200)})
    assert cache.get_many([f"page:{n}" for n in range(200)]) == {f"page:{n}": n for n in range(200)}
    assert cache.get_or_set("made", lambda: "once") == "once" and cache.get("made") == "once"
    assert cache.delete_pattern("page:1*") == 111
    assert len(list(cache.iter_keys("page:*"))) == 89
    assert cache.touch("other", 50) and cache.persist("answer") and cache.ttl("answer") is None
    cache.set("brief", 1, timeout=0.1)
    wait_until(lambda: cache.get("brief") is None, "an entry ends")
    with cache.lock("lock", timeout=10):
        assert not cache.lock("lock", timeout=10).acquire(blocking=False)


async def aio_cache(expect: bool) -> None:
    async with aiocache.Cache(aiocache.Cache.REDIS, endpoint="127.0.0.1", port=PORT, namespace="aio") as c:
        if expect:
            assert await c.get("a") == 1 and await c.multi_get(["b", "c"]) == [2, 3]
        await c.set("a", 1, ttl=100)
        assert await c.multi_set([("b", 2), ("c", 3)]) is True
        assert await c.exists("a") and await c.increment("n", 2) >= 2
        assert await c.add("fresh", 1) is True and await c.delete("fresh") == 1


def main() -> None:
    django_cache()
    asyncio.run(aio_cache(False))
    session = SessionStore()
    session["cart"] = ["tea", "milk"]
    session.save()
    restart()
    again = SessionStore(session_key=session.session_key)
    assert again["cart"] == ["tea", "milk"]
    again.flush()
    assert not SessionStore().exists(session.session_key)
    assert cache.get("answer") == {"n": 42} and cache.get("page:2") == 2
    asyncio.run(aio_cache(True))
    shown("values, counters, many at once, patterns, expiry, locks, sessions")


main()
