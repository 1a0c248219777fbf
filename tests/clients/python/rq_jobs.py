"""RQ: jobs are enqueued, done, retried when they fail, scheduled, and expire; none is lost when the server is killed."""

from datetime import timedelta

import redis
import rq
from program import PORT, restart, shown, wait_until
from rq.job import JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry
from rq.scheduler import RQScheduler

CONNECTION = redis.Redis(port=PORT)


def double(n: int) -> int:
    CONNECTION.sadd("done", n)
    return 2 * n


def fail_twice() -> str:
    if CONNECTION.incr("attempts") < 3:
        raise RuntimeError("not yet")
    return "at last"


def always_fails() -> None:
    raise ValueError("never")


def work(queue: rq.Queue) -> None:
    # In this process, until the queue is empty.
    rq.SimpleWorker([queue], connection=CONNECTION).work(burst=True, logging_level="ERROR")


def main() -> None:
    CONNECTION.flushall()
    queue = rq.Queue("work", connection=CONNECTION)
    jobs = [queue.enqueue(double, n) for n in range(20)]
    retried = queue.enqueue(fail_twice, retry=rq.Retry(max=3))
    failed = queue.enqueue(always_fails)
    after = queue.enqueue(double, 100, depends_on=jobs[0])
    brief = queue.enqueue(double, 101, result_ttl=1)
    work(queue)
    assert [job.return_value() for job in jobs] == [2 * n for n in range(20)]
    assert retried.get_status() == JobStatus.FINISHED and retried.return_value() == "at last"
    assert failed.get_status() == JobStatus.FAILED and "never" in failed.latest_result().exc_string
    assert FailedJobRegistry(queue=queue).get_job_ids() == [failed.id]
    assert after.get_status() == JobStatus.FINISHED
    # Beside the one whose result may have expired by now.
    assert {job.id for job in [*jobs, retried, after]} <= set(FinishedJobRegistry(queue=queue).get_job_ids())
    wait_until(lambda: not CONNECTION.exists(brief.key), "a result expires")

    scheduled = queue.enqueue_in(timedelta(seconds=1), double, 200)
    later = [queue.enqueue(double, n) for n in range(300, 350)]
    assert scheduled.id in ScheduledJobRegistry(queue=queue)
    restart()
    assert queue.get_job_ids() == [job.id for job in later]
    scheduler = RQScheduler([queue], connection=CONNECTION)
    scheduler.acquire_locks()
    wait_until(lambda: (scheduler.enqueue_scheduled_jobs() or len(queue) == 51), "the scheduled job is due")
    work(queue)
    assert [job.return_value() for job in later] == [2 * n for n in range(300, 350)]
    assert scheduled.return_value() == 400
    done = {int(n) for n in CONNECTION.smembers("done")}
    assert done == {*range(20), 100, 101, 200, *range(300, 350)}, done
    shown("enqueue, work, retry, fail, depend, schedule, expire")


if __name__ == "__main__":
    # RQ names functions by their module, which must not be the main one.
    import rq_jobs

    rq_jobs.main()
