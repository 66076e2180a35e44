"""What a service that runs no more left on the disk: its trail is ended and shipped in its stead.

Replicas that come and go have a folder each, and a service ships its own only.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cxr.errors import CxrError
from cxr.serving.audit.carry import Carrier, Shipping, shipments, unshipped
from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.log import locked, now, usable
from cxr.serving.audit.record import AuditError
from cxr.serving.audit.source import SegmentSource, folder_source
from cxr.serving.audit.trail import Trail


@dataclass(frozen=True, kw_only=True)
class Left:
    """What became of the segments that a service left in its folder.

    Attributes:
        trail: its identity.
        shipped: segments that the bucket has now, and had not before.
        there: that it had.
        elsewhere: that another bucket or prefix has, as their markers say.
        failures: why others could not be shipped.
    """

    trail: str
    shipped: int
    there: int
    elsewhere: int
    failures: tuple[str, ...]


def ship_left(folder: Path, chain: Chain, shipping: Shipping) -> Left:
    """Ship what a service that runs no more left in its folder.

    The trail is opened and closed as by its service: what a kill left is sealed, with a record of what is damaged.

    Raises:
        AuditError: there is no trail of this key, a process has it open, or it cannot be read and written.
    """
    with usable(folder):
        _check_left(folder, chain)
    with locked(folder), usable(folder):
        trail = Trail(folder, chain, max_bytes=0, max_age=timedelta(0), clock=now)
        try:
            trail.maintain(ending=True)
        finally:
            trail.close()
        if trail.unsealed:
            raise AuditError(f"the last segment in {folder} must be sealed to be shipped, could not be; see the log")
        return _shipped(folder, trail.head.trail, Carrier(chain, shipping), shipping)


def _check_left(folder: Path, chain: Chain) -> None:
    """Before anything is touched: under a wrong key the end of the trail would be set aside as damaged."""
    source = folder_source(folder, chain)
    if source.live:
        raise AuditError(
            f"{folder} must be of a service that runs no more, a process has it open, which ships what it seals; end "
            "that first, or leave its folder out"
        )
    if source.head_state != "good" and not any(_opens(segment, chain) for segment in source.segments):
        raise AuditError(
            f"{folder} must hold a head or a segment of this key, holds none; give the key that its service had"
        )


def _opens(segment: SegmentSource, chain: Chain) -> bool:
    try:
        chain.record(next(segment.lines(), b""))
    except Altered:
        return False
    return True


def _shipped(folder: Path, trail: str, carrier: Carrier, shipping: Shipping) -> Left:
    known = [shipment.at(shipping) for shipment in shipments(folder)]
    added: list[bool] = []
    try:
        failures = carrier.ship(unshipped(folder), shipped=lambda _, new: added.append(new))
    except CxrError as error:
        failures = [str(error)]
    return Left(
        trail=trail,
        shipped=sum(added),
        there=sum(known) + len(added) - sum(added),
        elsewhere=len(known) - sum(known),
        failures=tuple(failures),
    )
