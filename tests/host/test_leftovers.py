"""What a start command leaves running on purpose: seen, named and ended, though no check knows of it."""

from reconciler.adapters.leftovers import end, living
from reconciler.guard.lines import Program
from reconciler.operations import Exec
from tests import kernel
from tests.host.conftest import WEB

pytestmark = kernel.needs_root


async def test_what_was_left_is_named_and_ended(world):
    groups = world.programs.runner.groups
    line = Program(str(WEB), str(groups.left(WEB) or ""))
    if not line.group:
        return  # nobody can tell, and the level for programs is `none`
    assert await living(line) == ""
    start = "(trap '' TERM; sleep 600 & wait) & for i in 1 2 3 4 5 6; do sleep 600 & done"
    await world.works(Exec((start,), shell=True, timeout=5.0, touching=("checks",)))
    assert "sleep" in await living(line)
    assert "and " in await living(line)
    assert await end(line._replace(grace=0.1)) == ""
    assert await living(line) == ""
