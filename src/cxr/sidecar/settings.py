"""How a sidecar is set up."""

from dataclasses import dataclass, field
from pathlib import Path

from cxr.drift.detector import LEVEL


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of one sidecar.

    Attributes:
        bundle: folder, or a link to one; followed when it changes.
        state: folder of windows, alerts and the measurement.
        token: that events must bring; None only where nobody else can connect.
        level: probability of an alarm of a window without drift.
        window: most films that are tested together.
        needed: films for the first test.
        stride: new films between two tests.
        fire: windows in a row that must alarm before an incident begins.
        clear: windows in a row that must not, before it ends.
        webhook: address that alerts are posted to.
        webhook_secret: signs them.
        most_bytes: of one request.
        most_requests: that are worked on at the same time; more are told to come again.
    """

    bundle: Path
    state: Path
    token: str | None = field(default=None, repr=False)
    level: float = LEVEL
    window: int = 100
    needed: int = 50
    stride: int = 25
    fire: int = 2
    clear: int = 3
    webhook: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    most_bytes: int = 8 * 2**20
    most_requests: int = 8
