"""The run report as Markdown, from the same numbers as the page."""

from cxr.reporting.composition import Report
from cxr.reporting.markdown import render_markdown


def render_technical_report(report: Report) -> str:
    """`TECHNICAL_REPORT.md`; its pictures are `figures/<name>.png` beside it."""
    return render_markdown("technical_report.md.j2", report=report)
