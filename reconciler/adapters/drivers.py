"""Modules of `resources/` → drivers by kind. Nothing is registered: a file that is there is found."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import cast

import resources
from reconciler.contracts import Driver


class Drivers(Mapping[str, Driver]):
    """Imports a driver when its kind is first used."""

    def __init__(self) -> None:
        self._modules = {
            found.name: f"{resources.__name__}.{found.name}"
            for found in pkgutil.iter_modules(resources.__path__)
        }
        self._loaded: dict[str, Driver] = {}

    def __getitem__(self, kind: str) -> Driver:
        if kind not in self._loaded:
            name = self._modules.get(kind.replace(".", "_", 1))
            if name is None:
                raise KeyError(kind)
            self._loaded[kind] = cast(Driver, importlib.import_module(name))
        return self._loaded[kind]

    def load(self) -> None:
        """Import them all now: later, services would wait for it."""
        for kind in self:
            self[kind]

    def __iter__(self) -> Iterator[str]:
        for name in self._modules:
            kind = name.replace("_", ".", 1)
            if hasattr(importlib.import_module(self._modules[name]), "KIND"):
                yield kind

    def __len__(self) -> int:
        return sum(1 for _ in self)
