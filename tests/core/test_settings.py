from dataclasses import dataclass
from typing import Literal

import pytest

from asap.core.errors import ConfigError
from asap.core.settings import typed


@dataclass(frozen=True, kw_only=True)
class First:
    steps: int
    rate: float = 0.1
    span: tuple[float, float] = (0.0, 1.0)
    bound: float | None = None


@dataclass(frozen=True, kw_only=True)
class Second:
    shape: Literal["round", "flat"] = "round"
    guard: bool = False
    name: str = ""


def test_values_get_the_types_that_are_wanted() -> None:
    given = {
        "steps": 3,
        "rate": 1,
        "span": [0, 0.5],
        "bound": None,
        "shape": "flat",
        "guard": True,
        "name": "x",
        "z": 1,
    }
    found = typed(given, First, Second)
    assert found == {**given, "rate": 1.0, "span": (0.0, 0.5)}
    assert [type(found["rate"]), *map(type, found["span"])] == [float, float, float]
    assert typed({"bound": 2}, First)["bound"] == 2.0


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("steps", 1.5, "a whole number, got 1.5"),
        ("steps", True, "a whole number, got True"),
        ("rate", "abc", "a finite number, got 'abc'"),
        ("rate", False, "a finite number"),
        ("rate", float("inf"), "a finite number, got inf"),
        ("span", 0.5, "2 values, each a finite number, got 0.5"),
        ("span", (0.1, 0.2, 0.3), "2 values"),
        ("span", ("a", 1), "2 values"),
        ("bound", "x", "a finite number or nothing"),
        ("shape", "square", "one of round, flat, got 'square'"),
        ("guard", 1, "true or false, got 1"),
        ("name", 3, "text, got 3"),
    ],
)
def test_a_wrong_type_is_named_with_what_was_wanted(name: str, value: object, wanted: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be {wanted}".replace("(", r"\(")):
        typed({name: value}, First, Second)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"guard must be .*; rate must be .*; steps must be"):
        typed({"steps": "a", "rate": "b", "guard": "c"}, First, Second)
