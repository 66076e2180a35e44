"""The report as one page of HTML without external resources: reference and window side by side."""

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from cxr.contracts.drift import DriftReport, Measurement
from cxr.drift.watched import WatchedFilms

_BINS = 16
_WIDTH, _HEIGHT = 240, 90
_REFERENCE, _WINDOW = "#5b7fa6", "#c8702a"
_SHOWN_COMPONENTS = 8
_STATES = {
    "collecting": "Too few films for a test.",
    "steady": "The latest films look like the reference.",
    "suspected": "The last window differs from the reference; an incident begins if the next ones do, too.",
    "drift": "The latest films differ from the reference: what the model was measured to do may not hold for them.",
}
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:68rem;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse}td,th{padding:.25rem .8rem .25rem 0;
text-align:left;border-bottom:1px solid #dfe5ea}td.n{font-variant-numeric:tabular-nums;text-align:right}
.state{padding:.7rem 1rem;border-left:.4rem solid #7a8894;background:#f3f6f8}.steady{border-color:#2f7d4f}
.suspected{border-color:#c8902a}.drift{border-color:#b3261e}.alarm{color:#b3261e;font-weight:600}
.grid{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-size:.85rem}.key i{display:inline-block;
width:.8rem;height:.8rem;margin:0 .3rem 0 .8rem}code{font-size:.85em}
"""


def render_page(
    report: DriftReport,
    reference: WatchedFilms,
    window: WatchedFilms | None,
    *,
    findings: Sequence[str],
    statistics: Sequence[str],
) -> str:
    """The page.

    Args:
        report: how things stand.
        reference: films that are compared with.
        window: the latest films; None when there are none.
        findings: names of the decisions, in order.
        statistics: names of the image statistics, in order.
    """
    parts = [
        f"<h1>Drift report</h1><p class='state {report.state}' role='status'><b>{report.state.capitalize()}.</b> "
        f"{_STATES[report.state]}</p>",
        f"<p>Bundle <code>{escape(report.bundle)}</code>. {report.films} films in a window of "
        f"{report.window}; tests begin at {report.needed}. Last test: {escape(report.tested or 'none yet')}.</p>",
        _tests(report),
        _distributions(reference, window, findings, statistics),
        _alerts(report),
        _measured(report.measurement),
        "<h2>Events received</h2>",
        _table(["outcome", "number"], [[name, count] for name, count in report.events.items()]),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Drift report</title>"
        "<meta name='viewport' content='width=device-width'>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _tests(report: DriftReport) -> str:
    if report.verdict is None:
        return ""
    rows = [
        [
            test.name,
            test.group,
            test.test,
            f"{test.statistic:.3g}",
            f"{test.p_value:.2g}",
            f"{test.threshold:.2g}",
            "alarm" if test.alarm else "",
        ]
        for test in report.verdict.tests
    ]
    left = "".join(f"<p>Left out: {escape(name)}. {escape(why)}.</p>" for name, why in report.verdict.left_out.items())
    heads = ["what", "group", "test", "statistic", "p-value", "threshold", ""]
    note = (
        f"<p>All tests are one family: a window without drift alarms with a probability of at most "
        f"{report.verdict.level:.1%}.</p>"
    )
    return f"<h2>Tests of the last {report.verdict.films} films</h2>{note}{_table(heads, rows)}{left}"


def _distributions(
    reference: WatchedFilms, window: WatchedFilms | None, findings: Sequence[str], statistics: Sequence[str]
) -> str:
    pictures = [
        _bars("decision", _counts(reference, findings), None if window is None else _counts(window, findings), findings)
    ]
    pictures.append(_histogram("confidence", reference.confidence, None if window is None else window.confidence))
    if reference.distance is not None:
        pictures.append(_histogram("distance", reference.distance, None if window is None else window.distance))
    for place, name in enumerate(statistics):
        now = None if window is None else window.statistics[:, place]
        pictures.append(_histogram(name, reference.statistics[:, place], now))
    for place in range(min(reference.embedding.shape[1], _SHOWN_COMPONENTS)):
        now = None if window is None else window.embedding[:, place]
        pictures.append(_histogram(f"component {place + 1}", reference.embedding[:, place], now))
    key = (
        f"<p class='key'><i style='background:{_REFERENCE}'></i>reference<i style='background:{_WINDOW}'></i>window</p>"
    )
    return f"<h2>Distributions</h2>{key}<div class='grid'>{''.join(pictures)}</div>"


def _counts(films: WatchedFilms, findings: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.bincount(films.decisions, minlength=len(findings))


def _histogram(name: str, before: npt.NDArray[np.float32], now: npt.NDArray[np.float32] | None) -> str:
    everything = before if now is None else np.concatenate([before, now])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    counts = [None if values is None else np.histogram(values, edges)[0] for values in (before, now)]
    return _bars(name, np.asarray(counts[0]), counts[1], (f"{low:.3g}", f"{high:.3g}"))


def _bars(name: str, before: npt.NDArray[np.int64], now: npt.NDArray[np.int64] | None, labels: Sequence[str]) -> str:
    """Shares of the films, a pair of bars for each bin."""
    shares = [values / max(values.sum(), 1) for values in (before, now) if values is not None]
    top = max(float(share.max()) for share in shares) or 1.0
    slot = _WIDTH / len(before)
    bars = "".join(
        f"<rect x='{slot * (place + 0.06 + 0.44 * number):.1f}' y='{_HEIGHT * (1 - share / top):.1f}' "
        f"width='{0.42 * slot:.1f}' height='{_HEIGHT * share / top:.1f}' fill='{colour}'/>"
        for number, (values, colour) in enumerate(zip(shares, (_REFERENCE, _WINDOW), strict=False))
        for place, share in enumerate(values)
    )
    ends = (
        "<span> … </span>".join(escape(label) for label in labels)
        if len(labels) == 2
        else ", ".join(map(escape, labels))
    )
    return (
        f"<figure><svg width='{_WIDTH}' height='{_HEIGHT}' role='img' "
        f"aria-label='{escape(name)}: reference and window'>{bars}</svg>"
        f"<figcaption><b>{escape(name)}</b> {ends}</figcaption></figure>"
    )


def _alerts(report: DriftReport) -> str:
    if not report.alerts:
        return "<h2>Alerts</h2><p>None.</p>"
    rows = [[alert.time, alert.event, ", ".join(alert.tests), alert.incident] for alert in report.alerts]
    return f"<h2>Alerts</h2>{_table(['time', 'incident', 'tests', 'number'], rows)}"


def _measured(measurement: Measurement | None) -> str:
    title = "<h2>How often the tests alarm</h2>"
    if measurement is None:
        return f"{title}<p>Not measured: run <code>python -m cxr.sidecar measure</code> for this bundle.</p>"
    if measurement.reason is not None:
        return f"{title}<p>Not measured: {escape(measurement.reason)}.</p>"
    rows = [
        [
            rate.condition,
            rate.window,
            f"{rate.alarms} / {rate.windows}",
            f"{rate.alarms / rate.windows:.1%}",
            f"{rate.low:.1%} – {rate.high:.1%}",
        ]
        for rate in measurement.rates
    ]
    note = (
        f"<p>Windows drawn without replacement from {measurement.films} test films that neither the network nor the "
        "reference has seen. clean: as they are. clinical, severe: each film with one corruption of that preset.</p>"
    )
    return f"{title}{note}{_table(['condition', 'films', 'alarms', 'share', '95% interval'], rows)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value == "alarm":
        return "<td class='alarm'>alarm</td>"
    return f"<td class='n'>{value}</td>" if isinstance(value, int) else f"<td>{escape(str(value))}</td>"
