"""The store of several hosts, looked at each minute → how full it is, who votes; its history let go if
nobody does it.

Our own etcd lets go by itself. One that somebody else runs may not have been told to, and a full store
stops every holder.
"""

import asyncio
import random

from reconciler.adapters.etcd_care import Status
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.decide.voters import voters
from reconciler.errors import MayHeal, NeedsPerson, StoreLost

EVERY = 60.0
"""Seconds from one look to the next."""


class Tending:
    """`size` and `quota` in bytes, of the fullest member as it was last seen; 0: not known yet.

    voters  members that vote, of which more than half have to serve; 0: not known yet.
    """

    def __init__(self, store: EtcdStore) -> None:
        self._store = store
        self.size = self.quota = self.voters = 0

    async def run(self) -> None:
        """For ever; raises StoreLost."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY * random.uniform(0.9, 1.1))

    async def look(self) -> None:
        try:
            answers = (await self._store.statuses()).values()
            if found := [answer for answer in answers if isinstance(answer, Status)]:
                fullest = max(found, key=lambda status: status.fullness)
                self.size, self.quota = fullest.size, fullest.quota
            await self._store.compact_if_due()
            self.voters = len(voters(await self._store.members()))
        except StoreLost:
            raise
        except (MayHeal, NeedsPerson):
            return  # whoever needs the store more says so
