import pytest

from asap.core.errors import UnknownNameError
from asap.core.registry import Registry


def test_names_in_order_and_lookup() -> None:
    registry: Registry[int] = Registry("method")
    assert registry.register("b", 2) == 2
    registry.register("a", 1)
    assert registry.names() == ("b", "a")
    assert registry.get("a") == 1
    assert "a" in registry
    assert "c" not in registry


def test_duplicates_and_unknown_names_are_refused() -> None:
    registry: Registry[int] = Registry("method")
    registry.register("a", 1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("a", 2)
    with pytest.raises(UnknownNameError, match="unknown method 'x'; known: a"):
        registry.get("x")
