"""What the hosts share → where it stands in the store, and whose service it is about."""

SESSIONS, BEATS, CLAIMS, THINGS = "sessions/", "beats/", "claims/", "things/"
DOCUMENTS, WISHES, STATUSES, HOSTS = "documents/", "wishes/", "statuses/", "hosts/"
FROZEN = "frozen"
"""The whole cluster is."""


def session(node: str) -> str:
    return f"{SESSIONS}{node}"


def beat(node: str) -> str:
    return f"{BEATS}{node}"


def claims(service: str) -> str:
    """Prefix of its slots; `service` is a key (`namespace/name`)."""
    return f"{CLAIMS}{service}/"


def claim(service: str, slot: int) -> str:
    return f"{CLAIMS}{service}/{slot}"


def thing(name: str) -> str:
    return f"{THINGS}{name}"


def document(service: str) -> str:
    return f"{DOCUMENTS}{service}"


def wish(service: str) -> str:
    return f"{WISHES}{service}"


def host(node: str) -> str:
    return f"{HOSTS}{node}"


def status(node: str, service: str) -> str:
    return f"{STATUSES}{node}/{service}"


def slot_of(key: str) -> tuple[str, int] | None:
    """Service and slot of a claim's key."""
    service, _, slot = key.removeprefix(CLAIMS).rpartition("/")
    return (service, int(slot)) if key.startswith(CLAIMS) and slot.isdigit() else None


def service_of(key: str) -> str:
    """The service that a key of the store is about, "" when it is about none."""
    for prefix, skipped in ((CLAIMS, 0), (DOCUMENTS, 0), (WISHES, 0), (STATUSES, 1)):
        if key.startswith(prefix):
            parts = key.removeprefix(prefix).split("/")[skipped : skipped + 2]
            return "/".join(parts) if len(parts) == 2 else ""
    return ""
