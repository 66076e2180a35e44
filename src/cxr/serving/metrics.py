"""What Prometheus reads. Labels are few and never come from a client."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SHARES = (0.34, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)


class Metrics:
    """The predictor's own metrics; KServe's request histograms stand beside them in the same registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "cxr_requests", "Requests by route and outcome", ("protocol", "route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "cxr_request_seconds", "Time to answer", ("protocol", "route"), buckets=_FAST, registry=registry
        )
        self.stage_seconds = Histogram(
            "cxr_stage_seconds", "Time of a film in a stage", ("stage",), buckets=_FAST, registry=registry
        )
        self.batch_films = Histogram(
            "cxr_batch_films", "Films of a forward pass", buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
        )
        self.predictions = Counter("cxr_predictions", "Films classified, by decision", ("decision",), registry=registry)
        self.referrals = Counter("cxr_referrals", "Films referred, by reason", ("reason",), registry=registry)
        self.refusals = Counter("cxr_refusals", "Films refused, by code", ("code",), registry=registry)
        self.confidence = Histogram(
            "cxr_confidence", "Calibrated confidence of the decision", buckets=_SHARES, registry=registry
        )
        self.distance = Histogram(
            "cxr_distance_ratio",
            "Distance from the training films as a share of the out-of-distribution limit",
            buckets=(0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 4),
            registry=registry,
        )
        self.in_flight = Gauge("cxr_films_in_flight", "Films being read or classified", registry=registry)
        self.pending_bytes = Gauge("cxr_pending_bytes", "Bytes of requests under way held in memory", registry=registry)
        self.bundle = Gauge("cxr_bundle_info", "The bundle that answers", ("digest", "architecture"), registry=registry)
        self.reloads = Counter("cxr_reloads", "Reloads of the bundle, by outcome", ("outcome",), registry=registry)
        self.ready = Gauge("cxr_ready", "1 while the predictor takes requests", registry=registry)
