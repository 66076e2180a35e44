"""A container's health check: whether one of the addresses answers 200.

Python is the only program in an image that can ask; the certificate is not checked, because the process asks itself.
"""

import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

PATIENCE = 3.0


def healthy(address: str) -> bool:
    """Whether `address`, http or https, answers 200 within three seconds."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port
    connection: HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(host, port, timeout=PATIENCE, context=context)
    else:
        connection = HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not any(healthy(address) for address in sys.argv[1:]))
