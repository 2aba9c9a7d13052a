"""Directories of cases → what is decided in each now, beside what it was when it was last looked at."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler.adapters.drivers import Drivers
from reconciler.cli.output import yaml_text
from reconciler.decide.cases import Case, case, told
from reconciler.decide.documents import yaml_text as yaml_reader

HERE = Path(__file__).parent
CLUSTER, DECIDED, WHY = "cluster.yaml", "decided.yaml", "why.txt"


@cache
def drivers() -> Drivers:
    return Drivers()


@dataclass(frozen=True)
class Golden:
    """One directory. `now`: text by file name, as it would be written today."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(HERE))

    @property
    def comment(self) -> str:
        """What the situation is, and what ought to happen."""
        lines = []
        for line in (self.path / CLUSTER).read_text().splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("# "))
        return " ".join(lines)

    def case(self) -> Case:
        source = yaml_reader.read((self.path / CLUSTER).read_text(), f"{self.name}/{CLUSTER}")
        if source.faults:
            raise ValueError("\n".join(map(str, source.faults)))
        return case(source.tree, drivers())

    def now(self) -> dict[str, str]:
        found = told(self.case())
        return {DECIDED: yaml_text(dict(found.decided)) + "\n", WHY: found.why}

    def kept(self) -> dict[str, str]:
        return {
            name: (self.path / name).read_text() if (self.path / name).exists() else ""
            for name in (DECIDED, WHY)
        }

    def renew(self) -> bool:
        """Whether anything is another now."""
        now = self.now()
        for name, text in now.items():
            if self.kept()[name] != text:
                (self.path / name).write_text(text)
        return now != self.kept()


def goldens() -> list[Golden]:
    return [Golden(path.parent) for path in sorted(HERE.rglob(CLUSTER))]
