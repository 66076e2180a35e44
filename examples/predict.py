"""Ask the service what it says of a chest film, by any of its three protocols.

    python examples/predict.py FILM [--by rest|v2|grpc]

`make serve` makes the key and the certificate that are the defaults here. `rest` needs only `requests`; `v2` and `grpc`
use KServe's own clients.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

STATE = Path(os.environ.get("CXR_STATE", "runs/serving"))


def rest(film: bytes, *, url: str, authority: str, key: str) -> dict[str, Any]:
    """An upload, as a form in a browser would send it."""
    import requests

    answer = requests.post(
        f"{url}/predict", files={"file": film}, headers={"X-API-Key": key}, verify=authority, timeout=60
    )
    return answer.json()


async def v2(film: bytes, *, url: str, authority: str, key: str) -> dict[str, Any]:
    """The V2 protocol over REST; the film travels raw behind the JSON."""
    import ssl

    from kserve import InferenceRESTClient, RESTConfig

    config = RESTConfig(protocol="v2", verify=ssl.create_default_context(cafile=authority))
    async with InferenceRESTClient(config) as client:
        answer = await client.infer(url, _request(film), headers={"X-API-Key": key}, model_name="cxr")
    return {output.name: output.as_numpy().tolist() for output in answer.outputs}


async def grpc(film: bytes, *, address: str, authority: str, key: str) -> dict[str, Any]:
    """The V2 protocol over gRPC."""
    from kserve import InferenceGRPCClient

    async with InferenceGRPCClient(address, use_ssl=True, root_certificates=authority) as client:
        answer = await client.infer(_request(film), headers=(("x-api-key", key),))
    return {output.name: output.as_numpy().tolist() for output in answer.outputs}


def _request(film: bytes) -> Any:
    import numpy as np
    from kserve import InferInput, InferRequest

    image = InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([film], dtype=object), binary_data=True)
    return InferRequest(model_name="cxr", infer_inputs=[image])


def main() -> None:
    """Parse, ask, print."""
    parser = argparse.ArgumentParser(description="Ask the service what it says of a chest film.")
    parser.add_argument("film", type=Path, help="DICOM, PNG or JPEG")
    parser.add_argument("--by", choices=["rest", "v2", "grpc"], default="rest")
    parser.add_argument("--url", default="https://localhost:8443")
    parser.add_argument("--grpc-address", default="localhost:8081")
    parser.add_argument("--authority", default=str(STATE / "tls" / "ca.pem"), help="certificate to trust")
    parser.add_argument("--key-file", type=Path, default=STATE / "client.key")
    given = parser.parse_args()
    film, key = given.film.read_bytes(), given.key_file.read_text().strip()
    if given.by == "rest":
        answer = rest(film, url=given.url, authority=given.authority, key=key)
    elif given.by == "v2":
        answer = asyncio.run(v2(film, url=given.url, authority=given.authority, key=key))
    else:
        answer = asyncio.run(grpc(film, address=given.grpc_address, authority=given.authority, key=key))
    print(json.dumps(answer, indent=2, default=lambda value: value.decode()))
    sys.exit("code" in answer)


if __name__ == "__main__":
    main()
