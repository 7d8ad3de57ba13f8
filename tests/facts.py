"""All facts that a machine knows, for tests that try each of them."""

from types import ModuleType

from machines.core import facts
from machines.core.facts import Fact


def facts_of(module: ModuleType) -> set[type[Fact]]:
    """Those that a module defines, and those that every machine knows."""
    return {
        one
        for source in (module, facts)
        for one in vars(source).values()
        if isinstance(one, type)
        and issubclass(one, Fact)
        and one.__module__ == source.__name__
        # Of those that others are made of, a machine learns only these.
        and not one.__subclasses__()
    }
