"""What ``GET /metrics`` tells Prometheus: counts and times, in a registry of the service's own."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histograms, s."""


@dataclass(eq=False)
class Metrics:
    """The instruments; each ``Metrics()`` has its own registry, so that two services in one process do not mix."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        r = self.registry
        ProcessCollector(registry=r)
        self.requests = Counter(
            "antipodal_requests", "Answered requests.", ["path", "status"], registry=r
        )
        self.faults = Counter("antipodal_faults", "Refused requests.", ["error"], registry=r)
        self.empty_plans = Counter("antipodal_empty_plans", "Plans without a grasp.", registry=r)
        self.lost_workers = Counter(
            "antipodal_lost_workers",
            "Workers killed (late) or dead (died).",
            ["reason"],
            registry=r,
        )
        self.workers = Gauge("antipodal_workers", "Warm workers.", registry=r)
        self.inside = Gauge(
            "antipodal_requests_inside", "Plans under way or in the queue.", registry=r
        )
        self.request_seconds = Histogram(
            "antipodal_request_seconds", "From headers to answer, plans only.", buckets=BUCKETS, registry=r
        )  # fmt: skip
        self.queue_seconds = Histogram(
            "antipodal_queue_seconds", "Wait for a worker.", buckets=BUCKETS, registry=r
        )
        self.plan_seconds = Histogram(
            "antipodal_plan_seconds", "The policy alone.", buckets=BUCKETS, registry=r
        )

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
