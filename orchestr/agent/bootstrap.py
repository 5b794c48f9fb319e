# Sent as text and executed before anything else of orchestr exists on the host: imports modules from memory.
import sys
from _frozen_importlib import ModuleSpec
from typing import Any, Dict


class _Finder:
    """Find and load modules whose sources came over the wire; nothing is written to the host's disk."""

    def __init__(self) -> None:
        self.sources: Dict[str, str] = {}

    def add(self, sources: Dict[str, str]) -> None:
        self.sources.update(sources)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.sources:
            return None
        loader: Any = self
        return ModuleSpec(name, loader, origin="<%s>" % name, is_package=name.count(".") < 2)

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        name = module.__name__
        exec(compile(self.sources[name], "<%s>" % name, "exec", dont_inherit=True), module.__dict__)  # noqa: S102

    def get_source(self, name: str) -> Any:
        return self.sources.get(name)


def _start(sources: Dict[str, str], start: Dict[str, Any]) -> None:
    finder: Any = _Finder()
    finder.add(sources)
    sys.meta_path.insert(0, finder)
    from orchestr.agent import serve

    serve.main(start, finder.add)
