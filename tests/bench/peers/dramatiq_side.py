"""The four-step chain on dramatiq, 8 threads: `load` enqueues the first steps, `work` runs all. Runs in .venv-bench."""

import json
import logging
import resource
import sys
import threading
import time

import dramatiq  # type: ignore[import-not-found,unused-ignore]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found,unused-ignore]

STEPS = 4
THREADS = 8


class Progress:
    """Counts finished chains, and says when all are."""

    def __init__(self, chains: int) -> None:
        self.left = chains
        self.began = 0.0
        self.cpu_before = 0.0
        self.lock = threading.Lock()
        self.all_done = threading.Event()

    def begin(self) -> None:
        """Take the time of the very first step."""
        if not self.began:
            with self.lock:
                if not self.began:
                    self.cpu_before, self.began = time.process_time(), time.monotonic()

    def finish(self) -> None:
        """Count one chain."""
        with self.lock:
            self.left -= 1
        if not self.left:
            self.all_done.set()


def load(step: "dramatiq.Actor[..., None]", chains: int) -> dict[str, float]:
    """Enqueue the first step of each chain."""
    began = time.monotonic()
    for _ in range(chains):
        step.send(1)
    return {"seconds": time.monotonic() - began}


def work(broker: RedisBroker, progress: Progress) -> dict[str, float]:
    """Run one worker until every chain is done."""
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    worker.start()
    progress.all_done.wait()
    seconds, cpu_s = time.monotonic() - progress.began, time.process_time() - progress.cpu_before
    worker.stop()
    return {"began": progress.began, "seconds": seconds, "cpu_s": cpu_s}


def main(verb: str, url: str, chains: int) -> None:
    """Print what was measured as JSON."""
    progress = Progress(chains)
    broker = RedisBroker(url=url)
    dramatiq.set_broker(broker)

    def step(number: int) -> None:
        progress.begin()
        if number < STEPS:
            actor.send(number + 1)
        else:
            progress.finish()

    actor = dramatiq.actor(step)
    told = load(actor, chains) if verb == "load" else work(broker, progress)
    rss_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    print(json.dumps({**told, "rss_kb": rss_kb}))


if __name__ == "__main__":
    logging.disable(logging.INFO)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
