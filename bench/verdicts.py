"""What a running service says of real files, by kind: refused with which codes, referred, or passed.

    python bench/verdicts.py ../shared/data [--run runs/last] [--state runs/serving] [--url https://localhost:8443]

Asks `POST /predict` for every file of `dicom/` and `not-chest-xray/`, and for the films of the run's test split.
"""

import argparse
import asyncio
import ssl
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import httpx

from cxr.contracts.studies import IMAGES_FOLDER, StudyIndex
from cxr.domain import Split

AT_ONCE = 4


def kinds(data: Path, run: Path) -> dict[str, list[Path]]:
    """Files by kind."""
    found: dict[str, list[Path]] = {}
    for folder in ("dicom", "not-chest-xray"):
        for path in sorted((data / folder).rglob("*")):
            if path.is_file() and path.suffix != ".csv":
                found.setdefault(f"{folder}/{path.parent.name}", []).append(path)
    test = StudyIndex.read(run / "split").part(Split.TEST).films
    found["test films"] = [run / "studies" / IMAGES_FOLDER / f"{image_id}.png" for image_id in test["image_id"]]
    return found


async def ask(client: httpx.AsyncClient, path: Path, gate: asyncio.Semaphore) -> str:
    """Verdict on one file."""
    async with gate:
        answer = await client.post("/predict", files={"file": path.read_bytes()})
    body = answer.json()
    if answer.status_code == 200:
        return "referred" if body["referred"] else "passed"
    assert 400 <= answer.status_code < 500, (answer.status_code, body)
    return f"{answer.status_code} {body['code']}"


async def verdicts(client: httpx.AsyncClient, paths: Iterable[Path]) -> Counter[str]:
    """Counts of verdicts."""
    gate = asyncio.Semaphore(AT_ONCE)
    return Counter(await asyncio.gather(*(ask(client, path, gate) for path in paths)))


async def main() -> None:
    """Parse, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--run", type=Path, default=Path("runs/last"))
    parser.add_argument("--state", type=Path, default=Path("runs/serving"))
    parser.add_argument("--url", default="https://localhost:8443")
    given = parser.parse_args()
    context = ssl.create_default_context(cafile=str(given.state / "tls" / "ca.pem"))
    headers = {"X-API-Key": (given.state / "client.key").read_text().strip()}
    async with httpx.AsyncClient(base_url=given.url, verify=context, headers=headers, timeout=60) as client:
        for kind, paths in kinds(given.data, given.run).items():
            counts = await verdicts(client, paths)
            passed, referred = counts.pop("passed", 0), counts.pop("referred", 0)
            codes = ", ".join(f"{code} × {count}" for code, count in counts.most_common())
            print(
                f"{kind:34}{len(paths):5}  refused {counts.total():4}  referred {referred:3}  passed {passed:4}"
                f"  {codes}"
            )


if __name__ == "__main__":
    asyncio.run(main())
