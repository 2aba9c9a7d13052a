"""Operations of an action and a resource's triggers → the operations of one job, in order."""

from collections.abc import Iterable

from reconciler.model import Act, Trigger
from reconciler.operations import Exec, Operation

NOT_BLOCKING = tuple(range(256))
"""Exit codes a trigger may end with when its failure is only to be noted."""


def surrounded(
    triggers: Iterable[Trigger], act: Act, operations: tuple[Operation, ...]
) -> tuple[Operation, ...]:
    """`pre`, `blocking_pre`, the operations, `post`, `blocking_post`, as OpenSVC orders them."""
    mine = [t for t in triggers if t.action == act.value]
    if not mine:
        return operations

    def of(when: str, blocking: bool) -> tuple[Operation, ...]:
        return tuple(_command(t) for t in mine if t.when == when and t.blocking is blocking)

    return (*of("pre", False), *of("pre", True), *operations, *of("post", False), *of("post", True))


def _command(trigger: Trigger) -> Exec:
    return Exec(
        (trigger.command,),
        ok=(0,) if trigger.blocking else NOT_BLOCKING,
        shell=True,
        timeout=3600.0,
        interruptible=True,
        touching=("checks",),
    )
