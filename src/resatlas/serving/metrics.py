"""What `/metrics` shows, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts and times of one server, in a registry of its own."""

    def __init__(self, *, waiting: Callable[[], float], ready: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "resatlas_requests", "Answered requests by path and status.", ("path", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "resatlas_request_seconds",
            "Seconds from the headers of a request to its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batch_images = Histogram(
            "resatlas_batch_images", "Images of a forward pass.", buckets=_IMAGES, registry=self._registry
        )
        for name, words, value in (
            ("resatlas_waiting_images", "Images that are decoded, classified or waiting.", waiting),
            ("resatlas_ready", "1 if the server is ready for images, else 0.", ready),
        ):
            Gauge(name, words, registry=self._registry).set_function(value)

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    @property
    def answered(self) -> int:
        """Requests that were answered."""
        samples = (sample for metric in self.requests.collect() for sample in metric.samples)
        return round(sum(sample.value for sample in samples if sample.name.endswith("_total")))

    def text(self) -> tuple[bytes, str]:
        """The page and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4
