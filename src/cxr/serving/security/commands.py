"""`cxr keys`: API keys from the command line."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from cxr.serving.security.keyfile import (
    DEFAULT_GRACE,
    DEFAULT_RATE,
    ApiKey,
    Scope,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)

_GRANTED = [scope.value for scope in Scope if scope is not Scope.ANY]

_file: Callable[[Any], Any] = click.option(
    "--keys",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="CXR_SERVE_KEYS",
    required=True,
    help="File of keys that the service reads.  [env: CXR_SERVE_KEYS]",
)
_id = click.argument("key_id", metavar="ID")


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke the API keys of the service; a running one follows at once."""


@keys.command()
@_file
@click.option("--scope", "scopes", type=click.Choice(_GRANTED), multiple=True, default=("predict",), show_default=True)
@click.option("--days", type=click.IntRange(min=1), help="After which the key expires; never by default.")
@click.option(
    "--rate", type=click.IntRange(1, 1_000_000), default=DEFAULT_RATE, show_default=True, help="Requests a minute."
)
def create(path: Path, scopes: tuple[str, ...], days: int | None, rate: int) -> None:
    """Make a key and print it; it cannot be shown again."""
    lifetime = None if days is None else timedelta(days=days)
    secret = create_key(path, scopes=[Scope(scope) for scope in scopes], lifetime=lifetime, rate_per_minute=rate)
    _show(secret)


@keys.command("list")
@_file
def list_(path: Path) -> None:
    """Print what is kept of every key: never the key itself."""
    click.echo(f"{'ID':12}  {'STATE':8}  {'CREATED':16}  {'EXPIRES':16}  {'RATE':>7}  SCOPES")
    for key in list_keys(path):
        times = f"{_minute(key.created)}  {_minute(key.expires)}"
        click.echo(f"{key.id}  {_state(key):8}  {times}  {key.rate_per_minute:>7}  {','.join(key.scopes)}")


@keys.command()
@_file
@_id
@click.option(
    "--grace-hours",
    type=click.FloatRange(min=0),
    default=DEFAULT_GRACE / timedelta(hours=1),
    show_default=True,
    help="For which the old key stays valid.",
)
def rotate(path: Path, key_id: str, grace_hours: float) -> None:
    """Replace key ID by a new one, print that, and let the old one end after a while."""
    _show(rotate_key(path, key_id, grace=timedelta(hours=grace_hours)))


@keys.command()
@_file
@_id
def revoke(path: Path, key_id: str) -> None:
    """End key ID at once."""
    revoke_key(path, key_id)
    click.echo(f"key {key_id} is revoked", err=True)


def _show(secret: str) -> None:
    click.echo("Keep this key now: only its digest is stored.", err=True)
    click.echo(secret)


def _state(key: ApiKey) -> str:
    if key.revoked is not None:
        return "revoked"
    return "valid" if key.valid(datetime.now(UTC)) else "expired"


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment is not None else f"{'never':16}"
