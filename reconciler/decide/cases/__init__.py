"""A situation as plain data, written by hand or kept by an agent ↔ what is decided in it.

`case(tree, drivers)` reads one, `told(case)` says what is decided; `written(inputs)` makes one of what an
agent kept. The vocabulary, with what each key means, is in `tests/golden/README.md`.
"""

from reconciler.decide.cases.read import Case, One, case
from reconciler.decide.cases.told import Told, told
from reconciler.decide.cases.write import written

__all__ = ["Case", "One", "Told", "case", "told", "written"]
