"""`cxr audit`: the trail from the command line."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from cxr.adapters.object_store import ObjectStore, ObjectStoreConfig
from cxr.errors import CxrError
from cxr.serving.audit.carry import Shipping, bucket_address
from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.left import Left, ship_left
from cxr.serving.audit.record import KINDS, AuditError, AuditRecord, Head
from cxr.serving.audit.report import AuditReport
from cxr.serving.audit.source import TrailSource, bucket_sources, folder_source
from cxr.serving.audit.verify import verify as verify_source
from cxr.serving.security.private import read_secret
from cxr.serving.settings import Settings

_place = click.argument("place")
_key = click.option(
    "--key",
    "key",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File of the secret that the trail was written under: audit.key in the service's state folder.",
)
_when = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])


@click.group()
def audit() -> None:
    """Verify, read and ship the service's audit trail.

    PLACE is the folder of a trail (audit/ in the service's state folder), or s3://BUCKET/PREFIX where its segments are.
    """


@audit.command()
@_place
@_key
@click.option("--head", "heads", multiple=True, metavar="HEAD", help="That the trail must hold, as `head` printed it.")
@click.option(
    "--bucket", metavar="S3", help="Also verify s3://BUCKET/PREFIX, and that the folder holds its last record."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each trail.")
def verify(place: str, key: Path, heads: tuple[str, ...], bucket: str | None, as_json: bool) -> None:
    """Find every changed, missing or reordered record.

    Exits with 1 when there is a problem. Without --head or --bucket, records cut off the very end of the folder are
    found only as far as its own head file knows of them.
    """
    chain, known = _chain(key), [Head.parse(text) for text in heads]
    reports = [] if bucket is None else [verify_source(source, chain) for source in _sources(bucket, chain)]
    known += [report.head for report in reports if report.head is not None]
    for source in _sources(place, chain):
        expected = [head for head in known if source.trail in (None, head.trail) or str(head) in heads]
        reports.append(verify_source(source, chain, expected_heads=expected))
    for report in reports:
        click.echo(msgspec.json.encode(report).decode() if as_json else _text(report))
    if not all(report.intact for report in reports):
        raise click.exceptions.Exit(1)


@audit.command()
@_place
@_key
def head(place: str, key: Path) -> None:
    """Verify, and print the end of each trail: keep it elsewhere, for `verify --head`.

    Exits with 1, and prints nothing, when there is a problem.
    """
    chain = _chain(key)
    reports = [verify_source(source, chain) for source in _sources(place, chain)]
    for report in reports:
        if not report.intact:
            raise AuditError(f"{report.place} must be intact to note its head; run `cxr audit verify`")
    for report in reports:
        if report.head is not None:
            click.echo(report.head)


@audit.command()
@_place
@_key
@click.option("--since", type=_when, help="Records from this time on; UTC unless it says otherwise.")
@click.option("--until", type=_when, help="Records before this time.")
@click.option("--request", "request_id", help="Records of the request with this id.")
@click.option("--key-id", help="Records of the API key with this id.")
@click.option("--kind", type=click.Choice(sorted(KINDS)), help="Records of this kind.")
def show(place: str, key: Path, **given: Any) -> None:
    """Print records, one JSON line each, oldest first.

    Exits with 1 when a line could not be read; `verify` says more.
    """
    chain, wanted, unread = _chain(key), _Filter(**given), 0
    for source in _sources(place, chain):
        for line in (line for segment in source.segments for line in segment.lines()):
            try:
                record = chain.record(line)
            except Altered:
                unread += 1
                continue
            if wanted.takes(record):
                click.echo(line.decode(), nl=False)
    if unread:
        raise AuditError(f"every line must be a record of this key, {unread} are not; run `cxr audit verify`")


@audit.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path))
@_key
@click.option("--bucket", metavar="S3", required=True, help="s3://BUCKET/PREFIX with object lock: the service's own.")
@click.option(
    "--retention-days",
    type=click.IntRange(min=1),
    default=Settings.audit_retention_days,
    show_default=True,
    help="For which the bucket must keep a segment, from its sealing on.",
)
def ship(folders: tuple[Path, ...], key: Path, bucket: str, retention_days: int) -> None:
    """Lock in the bucket what services that run no more left on the disk.

    FOLDER is that of a trail (audit/ in the state folder of a service, such as that of a pod that is gone). Its last
    segment is sealed first, as by the next start of the service. A folder that a service has open is left alone.

    Prints a line for each trail, and why something could not be shipped; exits with 1 then. What was shipped is marked
    and not shipped again.
    """
    chain, retention = _chain(key), timedelta(days=retention_days)
    shipping = Shipping.to(bucket, os.environ, retention=retention, keep_local=None)
    shipping.store.require_lock(shipping.bucket)
    complete = True
    for folder in folders:
        try:
            left = ship_left(folder, chain, shipping)
        except CxrError as error:
            click.echo(f"{folder}: NOT SHIPPED: {error}")
            complete = False
        else:
            click.echo(_shipped(folder, left))
            complete = complete and not left.failures
    if not complete:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True, kw_only=True)
class _Filter:
    since: datetime | None
    until: datetime | None
    request_id: str | None
    key_id: str | None
    kind: str | None

    def takes(self, record: AuditRecord) -> bool:
        event = record.event
        return (
            (self.since is None or record.time >= _aware(self.since))
            and (self.until is None or record.time < _aware(self.until))
            and self.request_id in (None, getattr(event, "request_id", None))
            and self.key_id in (None, getattr(event, "key_id", None))
            and self.kind in (None, event.__struct_config__.tag)
        )


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _chain(key: Path) -> Chain:
    return Chain(read_secret(key).strip())


def _sources(place: str, chain: Chain) -> list[TrailSource]:
    if not place.startswith("s3://"):
        return [folder_source(Path(place), chain)]
    bucket, prefix = bucket_address(place)
    return bucket_sources(ObjectStore(ObjectStoreConfig.from_environment(os.environ)), bucket, prefix)


def _shipped(folder: Path, left: Left) -> str:
    elsewhere = f", {left.elsewhere} in another bucket or prefix" if left.elsewhere else ""
    lines = [f"{folder}: trail {left.trail}, {left.shipped} segments shipped, {left.there} already there{elsewhere}"]
    return "\n".join([*lines, *(f"  NOT SHIPPED: {failure}" for failure in left.failures)])


def _text(report: AuditReport) -> str:
    lines = [
        f"{report.place}: trail {report.trail or 'unknown'}, {report.segments} segments, {report.records} records"
        + (f", {report.first} to {report.last}" if report.records else "")
    ]
    lines += [
        f"  note: {count} {what}"
        for count, what in (
            (report.recoveries, "starts after an end that was cut short; see `cxr audit show --kind recovered`"),
            (report.interruptions, "times when nothing could be written; see `cxr audit show --kind interrupted`"),
            (report.clock_steps, "times when the clock went back"),
        )
        if count
    ]
    for found in report.problems:
        numbers = f"record {found.sequence}" if found.until is None else f"records {found.sequence} to {found.until}"
        lines.append(f"  {found.kind}: {found.segment or 'trail'}, {numbers}: {found.meaning}")
    if report.problem_count > len(report.problems):
        lines.append(f"  and {report.problem_count - len(report.problems)} more")
    if report.problem_count and not report.records:
        lines.append("  not one record is of this key: is it the key of this service?")
    lines.append("  intact" if report.intact else f"  NOT INTACT: {report.problem_count} problems")
    lines += [f"  head {report.head}"] if report.head is not None else []
    return "\n".join(lines)
