"""One `lvm fullreport` → everything LVM sees: groups, volumes, physical volumes, this host's system id."""

import json
from collections.abc import Mapping, Sequence

from reconciler.adapters.facts.run import NotInstalled, Prober
from reconciler.adapters.facts.source import Base, Desk, Subject
from reconciler.adapters.facts.uevents import Uevents
from reconciler.asks import Failed, LogicalVolume, LvmReport, VolumeGroup
from reconciler.errors import MayHeal

_LIMIT = 30.0
_REPORT = ("fullreport", "--foreign", "--reportformat", "json", "--units", "b", "--nosuffix")
_COLUMNS = {
    "vg": "vg_name,vg_uuid,vg_tags,vg_systemid,vg_size,vg_free,vg_partial,vg_exported",
    "lv": "lv_name,lv_tags,lv_active,lv_size,lv_device_open",
    "pv": "pv_name,vg_name",
    "seg": "lv_name",
    "pvseg": "pv_name",
}
_MISSING = "[unknown]"  # a physical volume that is not there


class LvmSource(Base):
    """One report at a time, with groups of other hosts in it. `config` goes to lvm as --config."""

    def __init__(self, every: float, uevents: Uevents, prober: Prober, config: str = "") -> None:
        super().__init__(every)
        self._uevents, self._prober = uevents, prober
        self._config = ("--config", config) if config else ()
        self._system_id: str | None = None

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        self._uevents.listen(self._heard)
        self._uevents.start()

    async def look(self, subjects: Sequence[Subject]) -> None:
        answer = await self._read()
        self.desk.report(dict.fromkeys(subjects, answer))

    def distrust(self) -> None:
        self._system_id = None

    async def close(self) -> None:
        self._uevents.close()

    def _heard(self, name: str) -> None:
        self.desk.changed()

    async def _read(self) -> LvmReport | Failed:
        columns = [
            part for kind, names in _COLUMNS.items() for part in ("--configreport", kind, "-o", names)
        ]
        try:
            if self._system_id is None:
                self._system_id = (await self._run("systemid")).partition(":")[2].strip()
            text = await self._run(*_REPORT, *columns)
            return decode(text, self._system_id)
        except NotInstalled:
            return Failed("lvm2 is not installed: apt install lvm2")
        except (MayHeal, ValueError, KeyError) as fault:
            return Failed(f"lvm: {fault}")

    async def _run(self, *argv: str) -> str:
        ran = await self._prober.run(("lvm", *argv, *self._config), _LIMIT)
        if ran.code:
            raise MayHeal(f"{argv[0]}: {ran.complaint}")
        return ran.out


def decode(text: str, system_id: str) -> LvmReport:
    """The JSON of a full report, one part for each group and one for devices in none.

    Raises ValueError when it is none, or when two groups have one name.
    """
    groups: dict[str, VolumeGroup] = {}
    volumes: dict[str, LogicalVolume] = {}
    physical: dict[str, str] = {}
    for part in json.loads(text)["report"]:
        devices = [pv["pv_name"] for pv in part.get("pv", ()) if pv["pv_name"] != _MISSING]
        physical.update((pv["pv_name"], pv["vg_name"]) for pv in part.get("pv", ()))
        for vg in part.get("vg", ()):
            name = vg["vg_name"]
            if name in groups:
                raise ValueError(f"two volume groups are called {name}: rename one by its uuid (vgrename)")
            of_group = [_volume(name, lv) for lv in part.get("lv", ())]
            volumes.update((f"{name}/{volume.name}", volume) for volume in of_group)
            groups[name] = _group(vg, tuple(v.name for v in of_group), tuple(devices))
    physical.pop(_MISSING, None)
    return LvmReport(groups, volumes, physical, system_id)


def _group(vg: Mapping[str, str], volumes: tuple[str, ...], devices: tuple[str, ...]) -> VolumeGroup:
    return VolumeGroup(
        name=vg["vg_name"],
        uuid=vg["vg_uuid"],
        tags=_tags(vg["vg_tags"]),
        system_id=vg["vg_systemid"],
        size=int(vg["vg_size"]),
        free=int(vg["vg_free"]),
        partial=bool(vg["vg_partial"]),
        exported=bool(vg["vg_exported"]),
        volumes=volumes,
        devices=devices,
    )


def _volume(vg: str, lv: Mapping[str, str]) -> LogicalVolume:
    return LogicalVolume(
        name=lv["lv_name"],
        vg=vg,
        active=lv["lv_active"].startswith("active"),  # "unknown": no device-mapper, nothing can be
        size=int(lv["lv_size"]),
        open=lv["lv_device_open"] == "open",
        tags=_tags(lv["lv_tags"]),
    )


def _tags(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))
