"""Whether the service, the worker or the relay in this container is ready: exit code 0 or 1.

For a HEALTHCHECK in an image without curl. A worker or a relay answers on PROBES_BIND, a web process on BIND.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

PATH = "/health/ready"
TIMEOUT_S = 4


def main() -> int:
    address = os.environ.get("PROBES_BIND") or os.environ["BIND"]
    port = int(address.rpartition(":")[2])
    connection = HTTPConnection("localhost", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"{PATH}: {error}\n")
        return 1
    sys.stdout.write(f"{PATH}: {answer.status} {answer.read(1000).decode(errors='replace')}\n")
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    raise SystemExit(main())
