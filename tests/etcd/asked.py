"""An etcd member, asked by itself: what it says, and whether it serves. The caller is in its network."""

import contextlib
import json
import urllib.error
import urllib.request
from typing import Any


def ask(url: str, body: Any) -> dict[str, Any]:
    """What it answers, be it an error; {} when it does not."""
    request = urllib.request.Request(url, json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=1) as reply:
            return dict(json.loads(reply.read()))
    except urllib.error.HTTPError as fault:
        return dict(json.loads(fault.read()))
    except OSError:
        return {}


def healthy(url: str) -> bool:
    """It serves under a leader: its health is a linearizable read. `url`: without a path."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=1) as reply:
        return b"true" in reply.read()
    return False
