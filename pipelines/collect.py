"""The folder of a run: what its steps wrote, under names that stay."""

import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from cxr.contracts.files import new_folder
from cxr.contracts.run_folders import REPORT_FILE, TECHNICAL_REPORT_FILE

logger = logging.getLogger(__name__)

LAST = "last"

_COPIED = {".csv", ".html", ".json", ".md", ".txt", ".yaml"}
_FROM_REPORT = (REPORT_FILE, TECHNICAL_REPORT_FILE, "figures", "metrics")


def collect(artifacts: Mapping[str, Path], run: Path) -> None:
    """Put every artifact into the run's folder, and links to the parts of the report at its top.

    Binary files are hard links where the file system allows it. Text is copied, since a person may edit it, and the
    original still answers later runs from the cache. The links show what `cxr report` writes later.
    """
    for name, source in artifacts.items():
        with new_folder(run / name) as draft:
            shutil.copytree(source, draft, copy_function=_link_or_copy, dirs_exist_ok=True)
    for part in (Path("report") / name for name in _FROM_REPORT):
        if not (run / part).exists():
            continue
        top = run / part.name
        if top.is_dir() and not top.is_symlink():
            shutil.rmtree(top)  # of an earlier version, which copied it
        _point(top, part)


def mark_last(run: Path) -> None:
    """Make `last`, beside the run's folder, a link to it; whoever follows it sees the old run or the new one.

    A folder that single steps wrote under that name, before there was a run, is kept beside it under another.
    """
    if run.name == LAST:
        return
    last = run.parent / LAST
    if last.is_dir() and not last.is_symlink():
        kept = last.with_name(f"{LAST}-{uuid.uuid4().hex[:8]}")
        last.rename(kept)
        logger.warning("%s was a folder of its own; it is %s now", last, kept)
    _point(last, Path(run.name))


def _point(link: Path, target: Path) -> None:
    """Make a link, or turn one round, at once."""
    draft = link.with_name(f".{link.name}.{uuid.uuid4().hex}")
    draft.symlink_to(target)
    draft.replace(link)


def _link_or_copy(source: str, target: str) -> str:
    if Path(source).suffix in _COPIED:
        return shutil.copy2(source, target)
    try:
        os.link(source, target)
    except OSError:
        return shutil.copy2(source, target)
    return target
