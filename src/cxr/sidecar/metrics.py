"""What Prometheus reads of the sidecar."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cxr.sidecar.service import DriftService

_STATES = ("collecting", "steady", "suspected", "drift")


class DriftMetrics(Collector):
    """Collects from a service when asked."""

    def __init__(self, service: DriftService) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        report = self._service.report()
        events = CounterMetricFamily("cxr_drift_received_events", "Events received", labels=["outcome"])
        for outcome, count in report.events.items():
            events.add_metric([outcome], count)
        yield events
        state = GaugeMetricFamily("cxr_drift_state", "1 for the state that holds", labels=["state"])
        for name in _STATES:
            state.add_metric([name], float(name == report.state))
        yield state
        yield GaugeMetricFamily("cxr_drift_window_films", "Films in the window", value=report.films)
        yield GaugeMetricFamily("cxr_drift_undelivered_alerts", "Not taken by the webhook", value=report.undelivered)
        yield _info(report.bundle)
        if report.verdict is not None:
            p_values = GaugeMetricFamily("cxr_drift_p_value", "Of the last window", labels=["name", "group"])
            for test in report.verdict.tests:
                p_values.add_metric([test.name, test.group], test.p_value)
            yield p_values


def _info(bundle: str) -> Metric:
    info = GaugeMetricFamily("cxr_drift_bundle_info", "Bundle that is watched", labels=["bundle"])
    info.add_metric([bundle], 1)
    return info
