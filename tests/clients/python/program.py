"""What the programs share: where the server is, having it killed, waiting for a condition.

A program gets the port as its first argument, and in FASTKEEP_SHARDS over how many shards the data lies. It writes RESTART to have the server killed with SIGKILL and started again
on its data, and ends with a line that begins with `shown:`; anything else is a failure.
"""

import os
import sys
import time

PORT = int(os.environ.get("FASTKEEP_PORT") or sys.argv[1])
URL = f"redis://127.0.0.1:{PORT}/0"
# In front of names that one command, transaction or script uses together: with several shards they must be in one.
TAG = "{one}" if int(os.environ.get("FASTKEEP_SHARDS", "1")) > 1 else ""


def restart() -> None:
    """The server is killed; returns when it serves again."""
    print("RESTART", flush=True)
    assert sys.stdin.readline().strip() == "restarted"


def wait_until(condition, what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def shown(what: str) -> None:
    print(f"shown: {what}", flush=True)
