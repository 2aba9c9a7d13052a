"""A service on other hosts, as the store tells → who has it, who could, where a move of it would lead."""

from reconciler.decide import claims, hosts, moves
from reconciler.decide.asked import Asked, Wish
from reconciler.decide.candidates import candidates
from reconciler.engine.cluster import Cluster
from reconciler.engine.record import Record
from reconciler.model import State


class Elsewhere:
    """As seen from `node`."""

    def __init__(self, node: str, cluster: Cluster) -> None:
        self._node, self._cluster = node, cluster

    def holders(self, record: Record) -> list[str]:
        """Nodes that hold a slot of it, with a session that is open."""
        view = self._cluster.view
        held = view.claims.get(record.key, {})
        return [c.node for _, c in sorted(held.items()) if c and not claims.free(c, view.sessions)]

    def move(self, record: Record, wish: Wish) -> tuple[str, str]:
        """From where and to where it leads. Raises NeedsPerson when nowhere."""
        return moves.ways(record.service, wish, self._node, self.holders(record), self._cluster.peers.all)

    def refusal(self, record: Record, wish: Wish) -> str:
        """Why the cluster as it is now cannot do what is asked, "" when it can."""
        if not self._cluster.follower.ready.is_set():
            return f"the store has not been read yet; {self._cluster.trouble}".rstrip("; ")
        holders = self.holders(record)
        return moves.refusal(record.service, wish, self._node, holders, self._cluster.peers.all)

    def still_asked(self, record: Record, asked: Asked) -> Asked:
        """Without what can lead to nothing any more."""
        return moves.still_asked(record.service, asked, self.holders(record), self._cluster.peers.all)

    def able(self, record: Record) -> list[str]:
        """Other nodes that may take it now."""
        ranked = candidates(record.service, self._cluster.peers.all).ranked
        return [name for name in ranked if name != self._node]

    def told_states(self, key: str) -> dict[str, State]:
        """Of its parts on other nodes that hold it, as those tell; {} when none does, or this one, too."""
        peers, found = self._cluster.peers, dict[str, State]()
        for name, peer in sorted(peers.all.items()):
            if peer.alive and key in peer.holds and (told := peers.told.get(name, {}).get(key)):
                found |= hosts.states(told)
        return found if self._cluster.mine(key) is None else {}
