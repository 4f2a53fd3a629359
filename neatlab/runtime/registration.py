"""NEAT is known to PEFT as soon as both packages are imported, in whichever order, and neither imports the other."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

REGISTERING = "neatlab.adapters.neat"


def register_with_peft() -> None:
    """Register NEAT now where PEFT is imported, else right after its import."""
    if "peft" in sys.modules:
        import_module(REGISTERING)
    elif not any(isinstance(finder, _AfterPeft) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterPeft())


class _AfterPeft(MetaPathFinder):
    """Finds `peft` where the other finders do, and has NEAT registered when it is loaded; others may ask only whether
    it is there.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "peft":
            return None
        others = (finder for finder in list(sys.meta_path) if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            self._then_register(spec.loader)
        return spec

    def _then_register(self, loader: Any) -> None:
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            sys.meta_path.remove(self)
            import_module(REGISTERING)

        loader.exec_module = exec_module
