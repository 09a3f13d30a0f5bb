"""Prometheus metrics in a registry of their own, and the endpoint `/metrics`.

No label holds what a client sent: paths are not counted separately, and neither are unknown methods.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.requests import Request
from starlette.responses import Response

METHODS: Final = {"GET", "HEAD", "POST"}

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Histogram buckets: a file takes under a millisecond, a decode from a tenth of a second to a few seconds."""


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("sdz_requests", "Requests answered", ["method", "status"], registry=self.registry)
        self.seconds = Histogram("sdz_request_seconds", "Seconds from request to last byte", buckets=SECONDS, registry=self.registry)
        self.sent = Counter("sdz_sent_bytes", "Bytes of response bodies", registry=self.registry)
        self.decodes = Counter("sdz_decodes", "Decoded pictures asked for, by outcome", ["outcome"], registry=self.registry)
        self.decode_seconds = Histogram("sdz_decode_seconds", "Seconds of a decode and its wait", buckets=SECONDS, registry=self.registry)
        self.cache_bytes = Gauge("sdz_cache_bytes", "Bytes of decoded pictures on disk", registry=self.registry)
        self.encodes = Counter("sdz_encodes", "Uploads, by outcome", ["outcome"], registry=self.registry)
        self.encode_seconds = Histogram("sdz_encode_seconds", "Seconds of an encode", buckets=SECONDS, registry=self.registry)
        self.uploads = Gauge("sdz_uploads", "Uploads being received, waiting or being encoded", registry=self.registry)

    def request(self, method: str, status: int, seconds: float, sent: int) -> None:
        """Counts one answered request."""
        self.requests.labels(method if method in METHODS else "other", str(status)).inc()
        self.seconds.observe(seconds)
        self.sent.inc(sent)

    async def answer(self, request: Request) -> Response:
        """The endpoint `/metrics`."""
        return Response(generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})
