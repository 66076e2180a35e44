"""The text of `--data` as a typed address."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from cxr.contracts.written import did_you_mean
from cxr.errors import SourceError


@dataclass(frozen=True, kw_only=True)
class Phantoms:
    """Films to draw.

    Attributes:
        seed: None for the recipe's.
        side: of the square films, pixels.
        tie: probability that a patient's scanner follows from the class, 0..1.
    """

    films: int = 700
    seed: int | None = None
    side: int = 256
    tie: float = 0.0


@dataclass(frozen=True, kw_only=True)
class KaggleDataset:
    """A data set on Kaggle: OWNER/DATASET or OWNER/DATASET/versions/N."""

    handle: str


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Objects of an S3 bucket: all below `prefix`, or the one of that key; "" is the whole bucket."""

    bucket: str
    prefix: str


Address = Phantoms | KaggleDataset | Bucket | Path

_PHANTOM = re.compile(r"phantom(?::(?P<films>[^?]*))?(?:\?(?P<options>.*))?")
_HANDLE = re.compile(r"[\w.-]+/[\w.-]+(/versions/[1-9]\d*)?")
_SCHEMES = ("phantom", "kaggle", "s3")


def parse_address(data: str) -> Address:
    """Read `--data`; anything without a scheme is a path.

    Raises:
        SourceError: a scheme is unknown, or what follows it is malformed.

    >>> parse_address("phantom:60?tie=0.9")
    Phantoms(films=60, seed=None, side=256, tie=0.9)
    >>> parse_address("s3://films/2024/chest/")
    Bucket(bucket='films', prefix='2024/chest')
    """
    text = data.strip()
    if not text:
        raise SourceError("data must name a source, is empty; give e.g. phantom:700 or a folder")
    phantom = _PHANTOM.fullmatch(text)
    if phantom:
        return _phantoms(phantom, text)
    scheme, colon, rest = text.partition(":")
    if scheme == "kaggle" and colon:
        return _dataset(rest, text)
    if scheme == "s3" and colon:
        return _bucket(rest, text)
    path = _expanded(Path(text))
    if colon and not _exists(path):
        _refuse_scheme(scheme, text)
    return path


def _phantoms(found: re.Match[str], text: str) -> Phantoms:
    values: dict[str, int | float] = {}
    if found["films"] is not None:
        values["films"] = _number("films", found["films"], int, text)
    kinds = {"tie": float, "seed": int, "side": int}
    for name, value in parse_qsl(found["options"] or "", keep_blank_values=True):
        if name not in kinds:
            raise SourceError(
                f"the options of phantoms must be {', '.join(kinds)}, {text!r} has {name!r}"
                f"{did_you_mean(name, list(kinds))}"
            )
        values[name] = _number(name, value, kinds[name], text)
    return Phantoms(**values)  # type: ignore[arg-type] # each value has its option's type


def _number(name: str, value: str, kind: type[int] | type[float], text: str) -> int | float:
    try:
        return kind(value)
    except ValueError:
        word = "whole number" if kind is int else "number"
        raise SourceError(
            f"{name} of phantoms must be a {word}, is {value!r} in {text!r}; write e.g. phantom:700?tie=0.9&seed=7"
        ) from None


def _dataset(handle: str, text: str) -> KaggleDataset:
    if not _HANDLE.fullmatch(handle):
        raise SourceError(
            f"a Kaggle data set must be kaggle:OWNER/DATASET or kaggle:OWNER/DATASET/versions/N, is {text!r}"
        )
    return KaggleDataset(handle=handle)


def _bucket(rest: str, text: str) -> Bucket:
    bucket, _, prefix = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not bucket:
        raise SourceError(f"objects must be named as s3://BUCKET/PREFIX, are as {text!r}")
    return Bucket(bucket=bucket, prefix=prefix.strip("/"))


def _expanded(path: Path) -> Path:
    """The path with `~` replaced, where there is such a home."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _refuse_scheme(scheme: str, text: str) -> None:
    """A word before a colon that is no path is a mistyped or unsupported scheme."""
    near = difflib.get_close_matches(scheme.lower(), _SCHEMES, 1)
    if near:
        raise SourceError(f"data {text!r} has an unknown scheme; did you mean {near[0]}:?")
    if text.startswith(f"{scheme}://"):
        raise SourceError(
            f"data from {scheme}:// cannot be read; download it and give the folder, or use s3://BUCKET/PREFIX"
        )
