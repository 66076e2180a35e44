"""`helm test`: a drawn film through the V2 protocol, with a key and over TLS, as a client would send it."""

import base64
import io
import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

from cxr.imaging.phantom import draw_phantom

PATIENCE = 60
REFUSED = 422


def main() -> None:
    """Ask for the findings of a phantom; anything but probabilities or a refusal with its reason is an error."""
    url = f"{os.environ['URL']}/v2/models/{os.environ['MODEL']}/infer"
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(film()).decode()]}
    status, answer = ask(url, {"inputs": [tensor]})
    if status == REFUSED:
        say(f"a drawn film is refused, as it may be by a bundle that knows only real ones: {answer['reason']}")
        return
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    total = sum(outputs["probabilities"])
    if abs(total - 1) > 1e-3:
        raise SystemExit(f"the probabilities must add up to 1, their sum is {total}")
    say(f"bundle {answer['model_version'][:16]} answers: {outputs['decision'][0]}")


def film() -> bytes:
    """A drawn film of a healthy chest, PNG."""
    buffer = io.BytesIO()
    Image.fromarray(draw_phantom(seed=1, finding="Normal").film).save(buffer, "PNG")
    return buffer.getvalue()


def ask(url: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer; other errors than a refused film end the process."""
    headers = {"X-API-Key": Path(os.environ["KEY_FILE"]).read_text().strip(), "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - the chart's address
    context = ssl.create_default_context(cafile=os.environ.get("CA_FILE")) if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as response:  # noqa: S310
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        if error.code != REFUSED:
            raise SystemExit(f"the answer must be a prediction, is {error.code}: {text}") from error
        return error.code, json.loads(text)


def say(text: str) -> None:
    """The result of the test, for `kubectl logs`."""
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
