"""The run report as one page that needs nothing but itself."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxr.reporting.composition import Report
from cxr.reporting.inline_images import data_uri
from cxr.reporting.pictures import Picture, Sample

FIGURE_WIDTH = 1600
SAMPLE_WIDTH = 224
SECTIONS = (
    ("purpose", "What this is"),
    ("data", "Data"),
    ("search", "Search"),
    ("training", "Training"),
    ("metrics", "Performance"),
    ("subgroups", "Subgroups"),
    ("unseen", "Sources never seen"),
    ("shortcuts", "Shortcuts"),
    ("robustness", "Robustness"),
    ("localisation", "Where it looks"),
    ("gate", "Gate"),
    ("limits", "Limits"),
    ("provenance", "Provenance"),
    ("checklists", "Checklists"),
)


def render_html(report: Report) -> str:
    """The report as a self-contained HTML page: style and pictures inline, no script, nothing fetched."""
    environment = page_environment()
    return environment.get_template("report.html.j2").render(report=report, sections=SECTIONS)


def page_environment() -> Environment:
    """HTML templates of `cxr.reporting.templates`, with the filters `inline` (a picture) and `inline_film`."""
    environment = Environment(
        loader=PackageLoader("cxr.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["inline"] = _inline
    environment.filters["inline_film"] = _inline_film
    return environment


def _inline(picture: Picture) -> str:
    return data_uri(picture.path, width=FIGURE_WIDTH, film=picture.film)


def _inline_film(sample: Sample) -> str:
    return data_uri(sample.path, width=SAMPLE_WIDTH, film=True)
