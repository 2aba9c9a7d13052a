"""Settings and the owner's own knowledge → the sources that answer every ask on Linux."""

from collections.abc import Callable, Mapping

from reconciler.adapters.facts.block import BlockSource
from reconciler.adapters.facts.checks import CheckSource, RunCheck
from reconciler.adapters.facts.files import FileSource
from reconciler.adapters.facts.health import HealthSource
from reconciler.adapters.facts.interfaces import NetworkSource
from reconciler.adapters.facts.loops import LoopSource
from reconciler.adapters.facts.lvm import LvmSource
from reconciler.adapters.facts.mounts import MountSource
from reconciler.adapters.facts.names import NameSource
from reconciler.adapters.facts.network import Network
from reconciler.adapters.facts.run import Prober
from reconciler.adapters.facts.signatures import SignatureSource
from reconciler.adapters.facts.source import Lookup, Source, Subject
from reconciler.adapters.facts.uevents import Uevents
from reconciler.adapters.starter import Starter
from reconciler.asks import NodeSeen
from reconciler.model import Owner
from reconciler.settings import Settings


def standard_sources(
    settings: Settings,
    memory: Callable[[Owner], Mapping[str, str]],
    node: NodeSeen,
    programs: Source,
    run_check: RunCheck,
    starter: Starter,
) -> Mapping[str, Source]:
    """One source for each `Ask.source`, for the Hub. Namespaces are those of the thread that starts it."""
    every = settings.look_every
    network, uevents, prober = Network(settings.events), Uevents(settings.events), Prober(starter)
    mounts = MountSource(every, settings.events)

    def remembered(subject: Subject) -> Mapping[str, str]:
        assert subject.owner is not None
        return dict(memory(subject.owner))

    return {
        "links": NetworkSource("links", network, every),
        "addresses": NetworkSource("addresses", network, every),
        "routes": NetworkSource("routes", network, every),
        "names": NameSource(every),
        "mounts": mounts,
        "health": HealthSource(every / 2),
        "loops": LoopSource(every, uevents),
        "block": BlockSource(every, uevents, prober),
        "signatures": SignatureSource(every, uevents, prober),
        "lvm": LvmSource(every, uevents, prober),
        "files": FileSource(every, settings.events, mounts),
        "programs": programs,
        "checks": CheckSource(settings.max_checks, run_check),
        "memory": Lookup(remembered),
        "node": Lookup(lambda _: node),
    }
