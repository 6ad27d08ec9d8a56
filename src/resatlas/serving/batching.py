"""Classification in threads: some decode images, one computes the logits of all that wait, without delay.

A forward pass takes whatever is decoded when it begins, up to `batch` images: alone at little load, many at once at
much. Nothing waits for a batch to fill.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from resatlas.errors import DataError, ResatlasError
from resatlas.serving.classifier import Classifier
from resatlas.serving.limits import Limits
from resatlas.values.cores import cores

Ranked = tuple[tuple[str, float], ...]
"""The most probable classes with their probabilities, the most probable first."""

_JOIN_SECONDS = 5.0  # for threads to end; they cannot keep the process from ending


class Busy(ResatlasError):
    """As many images as the queue takes are in work already."""


@dataclass(kw_only=True, eq=False)
class Job:
    """One image on its way: its bytes until they are decoded, its input until it is classified."""

    content: bytes
    top: int
    answer: "asyncio.Future[Ranked]"
    image: Tensor | None = None


class Batcher:
    """The threads that classify, and the number of images in their hands.

    `submit` and `waiting` belong to the thread of the event loop.
    """

    def __init__(
        self, classifier: Classifier, limits: Limits, *, on_batch: Callable[[int], object] = lambda _: None
    ) -> None:
        self.waiting = 0
        self._classifier, self._limits, self._on_batch = classifier, limits, on_batch
        self._encoded: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._decoded: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._decode, daemon=True) for _ in range(cores())]
        self._threads.append(threading.Thread(target=self._classify, daemon=True))

    def start(self) -> None:
        """Start the threads; the calling thread must have a running event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def submit(self, content: bytes, *, top: int) -> "asyncio.Future[Ranked]":
        """The future answer for an image.

        Its exceptions: DataError, UsageError for an image that the network cannot take; MemoryError; a mistake of ours.
        Raises: Busy at once, if the queue is full.
        """
        if self.waiting >= self._limits.queue:
            raise Busy(f"{self.waiting} images are waiting; try again later")
        self.waiting += 1
        job = Job(content=content, top=top, answer=self._loop.create_future())
        self._encoded.put(job)
        return job.answer

    def close(self) -> None:
        """Let the threads end after the images in their hands."""
        for _ in self._threads[:-1]:
            self._encoded.put(None)
        for thread in self._threads[:-1]:
            thread.join(_JOIN_SECONDS)
        self._decoded.put(None)
        self._threads[-1].join(_JOIN_SECONDS)

    def _decode(self) -> None:
        """The work of a thread that decodes, image by image, on one core."""
        torch.set_num_threads(1)
        while (job := self._encoded.get()) is not None:
            content, job.content = job.content, b""
            try:
                if not job.answer.cancelled():
                    job.image = self._classifier.prepare(content)
            except Exception as error:  # whatever it is, this image alone fails
                self._deliver([job], error)
            else:
                self._decoded.put(job)
            del job, content  # the next image may come much later

    def _classify(self) -> None:
        """The work of the thread that classifies, batch by batch."""
        torch.set_num_threads(self._classifier.threads)
        while jobs := self._next_batch():
            try:
                answers = self._answers([job for job in jobs if job.image is not None and not job.answer.cancelled()])
            except Exception as error:  # such as too little memory: these images fail, the server goes on
                self._deliver(jobs, error)
            else:
                self._deliver(jobs, answers)

    def _next_batch(self) -> list[Job]:
        """The images that are decoded now, at least one; none at the end."""
        jobs: list[Job] = []
        job = self._decoded.get()
        with suppress(queue.Empty):
            while job is not None:
                jobs.append(job)
                if len(jobs) == self._limits.batch:
                    return jobs
                job = self._decoded.get_nowait()
            if jobs:
                self._decoded.put(None)  # for the next call
        return jobs

    def _answers(self, jobs: Sequence[Job]) -> "dict[asyncio.Future[Ranked], Ranked]":
        """The answer of each job, by one forward pass."""
        if not jobs:
            return {}
        self._on_batch(len(jobs))
        names = self._classifier.classes
        logits = self._classifier.logits(torch.stack([job.image for job in jobs if job.image is not None]))
        most = min(max(job.top for job in jobs), logits.shape[1])
        best = logits.softmax(dim=1).topk(most)
        rows = zip(jobs, best.indices.tolist(), best.values.tolist(), strict=True)
        return {
            job.answer: tuple((names[k], share) for k, share in zip(classes[: job.top], shares, strict=False))
            for job, classes, shares in rows
        }

    def _deliver(self, jobs: Sequence[Job], answers: "dict[asyncio.Future[Ranked], Ranked] | Exception") -> None:
        """Hand answers, or one reason why there are none, to the event loop, which may have ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, jobs, answers)

    def _settle(self, jobs: Sequence[Job], answers: "dict[asyncio.Future[Ranked], Ranked] | Exception") -> None:
        self.waiting -= len(jobs)
        for job in jobs:
            if job.answer.done():
                continue
            if isinstance(answers, Exception):
                job.answer.set_exception(answers)
            elif job.answer in answers:
                job.answer.set_result(answers[job.answer])
            else:
                job.answer.set_exception(DataError("the request was given up"))
