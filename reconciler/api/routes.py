"""One table of all paths: what may be asked, by whom, and the shapes that go in and out."""

from dataclasses import dataclass

from reconciler.api.agent import Role


@dataclass(frozen=True)
class Query:
    name: str
    kind: str  # of JSON Schema
    help: str
    many: bool = False


@dataclass(frozen=True)
class Route:
    """`handler` names a method of `handlers.Handlers`; `answer` and `body` name schemas."""

    method: str
    path: str
    handler: str
    summary: str
    answer: str
    role: Role = Role.VIEWER
    body: str = ""
    status: int = 200
    query: tuple[Query, ...] = ()
    streams: bool = False


SELECTOR = Query("selector", "string", "Only these: name (of namespace root), ns/name, globs.", many=True)
HEARTBEAT = Query(
    "heartbeat", "number", "Seconds of silence before a sign of life (default 15, at least 0.1)."
)
FAULTY = Query("faulty", "boolean", "Only those that are not fit to be in force.")
EVENTS = (
    Query("seconds", "number", "Only of the last so many seconds (default: a day)."),
    Query("service", "string", "Only of this service (ns/name)."),
    Query("limit", "integer", "At most so many, the newest (default 1000)."),
    Query("after", "integer", "Only with a number above this one."),
    HEARTBEAT,
)
OF_SERVICE = Query("service", "string", "Only of this service (ns/name).")
WHAT_IF = (
    Query("node", "string", "Which node."),
    Query("change", "string", "What becomes of it: down, drain or freeze."),
)
ONE = "/v1/services/{namespace}/{name}"

ROUTES = (
    Route("GET", "/healthz", "health", "Is the agent alive?", "health", Role.NONE),
    Route("GET", "/v1/openapi.json", "openapi", "This description.", "openapi", Role.NONE),
    Route(
        "GET", "/v1/services", "services", "All services with their status.", "services", query=(SELECTOR,)
    ),
    Route("GET", ONE, "service", "One service with its status.", "service"),
    Route("GET", f"{ONE}/plan", "plan", "What would be done now and then, and what waits.", "plan"),
    Route("GET", f"{ONE}/why", "why", "Why it is as it is: the chain of decisions.", "why"),
    Route(
        "POST",
        f"{ONE}/wish",
        "wish",
        "Ask for something: start, stop, restart…",
        "asked",
        Role.OPERATOR,
        body="wish",
        status=202,
    ),
    Route("GET", "/v1/node", "node", "The agent and its host.", "node"),
    Route(
        "POST",
        "/v1/node/wish",
        "node_wish",
        "Freeze or thaw the whole host.",
        "asked",
        Role.OPERATOR,
        body="wish",
        status=202,
    ),
    Route(
        "GET",
        "/v1/what-if",
        "what_if",
        "Where the services of a node would go.",
        "what_if",
        query=WHAT_IF,
    ),
    Route(
        "GET",
        "/v1/decisions",
        "decisions",
        "The last decisions, each with all that it was taken on, as a case to be decided again.",
        "decisions",
        Role.OPERATOR,
        query=(OF_SERVICE,),
    ),
    Route(
        "GET",
        "/v1/documents",
        "documents",
        "The files in the watched directory.",
        "documents",
        query=(FAULTY,),
    ),
    Route(
        "POST",
        "/v1/preview",
        "preview",
        "What a document would do.",
        "plan",
        Role.OPERATOR,
        body="preview",
    ),
    Route(
        "POST", "/v1/prune", "prune", "Remove services whose removal is held back.", "pruned", Role.ADMIN
    ),
    Route(
        "GET",
        "/v1/events",
        "events",
        "What happened; as text/event-stream: and what happens, resumed by Last-Event-ID.",
        "events",
        query=EVENTS,
        streams=True,
    ),
    Route(
        "GET",
        "/v1/watch",
        "watch",
        "All objects, then each that changes, and events, as text/event-stream.",
        "service",
        query=(SELECTOR, HEARTBEAT),
        streams=True,
    ),
)

ADMIN_VERBS = frozenset({"purge", "unprovision", "confirmed-off", "maintenance"})
"""They destroy data, or say what nobody can verify. `force` overrides a mark of somebody else."""
