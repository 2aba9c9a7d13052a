"""A few words for reports, so that tables stay short."""

from reconciler.decide.status import ResourceReport
from reconciler.model import Common, Goal, Observed, Resource, State


def report(rid="app#web", state=State.UP, *, common=None, goal=Goal.UP, refs=(), seen=None, **more):
    resource = Resource(rid, f"{rid.partition('#')[0]}.flag", {}, common or Common(), refs=frozenset(refs))
    return ResourceReport(resource, seen or Observed(state), goal=goal, **more)
