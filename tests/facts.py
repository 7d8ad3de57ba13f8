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
        # A machine learns none of those that others are made of; who made something of this one may not be loaded yet.
        and one is not facts.PersonFact
        and not one.__subclasses__()
    }
