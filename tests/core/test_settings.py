import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from asap.core.errors import ConfigError
from asap.core.settings import Fraction, Positive, PositiveFloat, Range, build, check, names, nearest, nested


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    span: tuple[float, float] = (0.0, 1.0)
    bound: PositiveFloat | None = None
    shares: tuple[Fraction, ...] = ()

    def faults(self) -> list[str]:
        return [] if self.span[0] <= self.span[1] else [f"span must rise, got {self.span}"]


@dataclass(frozen=True, kw_only=True)
class Outer:
    steps: Positive
    folder: Path
    shape: Literal["round", "flat"] = "round"
    kinds: tuple[Literal["a", "b"], ...] = ("a",)
    strict: bool = False
    name: str = ""
    table: Mapping[str, object] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)


def built(**given: Any) -> Outer:  # noqa: ANN401
    return build(Outer, {"steps": 1, "folder": "f", **given})


def test_values_get_the_types_that_are_wanted() -> None:
    inner = {"rate": 1, "span": [0, 0.5], "bound": None, "shares": 1}
    found = built(shape="flat", kinds=["b", "a"], strict=True, table={"x": 1}, inner=inner)
    assert found.inner == Inner(rate=1.0, span=(0.0, 0.5), shares=(1.0,))
    assert [type(value) for value in (found.inner.rate, *found.inner.span, *found.inner.shares)] == [float] * 4
    assert (found.folder, found.shape, found.kinds, found.strict) == (Path("f"), "flat", ("b", "a"), True)
    assert found.table == {"x": 1}
    assert built(inner={"bound": 2}).inner.bound == 2.0
    assert built(inner=None).inner == Inner()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"steps": 1.5}, "steps must be a whole number, got 1.5"),
        ({"steps": True}, "steps must be a whole number, got True"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": None}, "steps is missing"),
        ({"folder": 3}, "folder must be a path, got 3"),
        ({"shape": "square"}, "shape must be one of round, flat, got 'square'"),
        ({"kinds": ["a", "c"]}, "kinds must be a list, each one of a, b, got ['a', 'c']"),
        ({"strict": 1}, "strict must be true or false, got 1"),
        ({"name": 3}, "name must be text, got 3"),
        ({"table": 3}, "table must be names and values, got 3"),
        ({"inner": 3}, "inner must be a section of names and values, got 3"),
        ({"inner": {"rate": "abc"}}, "inner.rate must be a finite number, got 'abc'"),
        ({"inner": {"rate": False}}, "inner.rate must be a finite number, got False"),
        ({"inner": {"rate": float("inf")}}, "inner.rate must be a finite number, got inf"),
        ({"inner": {"span": 0.5}}, "inner.span must be 2 values, each a finite number, got 0.5"),
        ({"inner": {"span": [0.1, 0.2, 0.3]}}, "inner.span must be 2 values"),
        ({"inner": {"span": [0.3, 0.2]}}, "span must rise, got (0.3, 0.2)"),
        ({"inner": {"bound": "x"}}, "inner.bound must be a finite number or nothing, got 'x'"),
        ({"inner": {"bound": 0}}, "inner.bound must be above 0, got 0.0"),
        ({"inner": {"shares": [0.5, 1.5]}}, "inner.shares must be at least 0 and at most 1, got 1.5"),
        ({"stepz": 3}, "unknown key 'stepz', did you mean steps?"),
        ({"rate": 3}, "unknown key 'rate', did you mean inner.rate?"),
        ({"inner": {"ratio": 3}}, "unknown key 'inner.ratio', did you mean inner.rate?"),
        ({"inner": {"q": 3}}, "unknown key 'inner.q'; known: rate, span, bound, shares"),
    ],
)
def test_each_fault_is_named_with_what_was_wanted(given: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=f"^file: {re.escape(fault)}"):
        build(Outer, {"steps": 1, "folder": "f", **given}, where="file: ")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, {"strict": "a", "inner": {"rate": "b"}, "nam": "c"})
    assert str(caught.value) == (
        "unknown key 'nam', did you mean name?; steps is missing; folder is missing; "
        "strict must be true or false, got 'a'; inner.rate must be a finite number, got 'b'"
    )
    with pytest.raises(ConfigError, match=r"--rate must be finite, got nan; --shares must be at least 0 .*; span must"):
        check(Inner(rate=float("nan"), shares=(-1.0,), span=(1, 0)), name=lambda path: f"--{path[-1]}")


def test_what_is_required_may_be_left_open() -> None:
    found = build(Outer, {"folder": "f"}, missing=None)
    assert found.steps is None


def test_flat_names_are_put_into_their_sections() -> None:
    assert names(Outer)["rate"] == ("inner", "rate")
    assert names(Outer)["steps"] == ("steps",)
    assert nested(Outer, {"steps": 1, "rate": 2, "odd": 3}) == {"steps": 1, "inner": {"rate": 2}, "odd": 3}


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "words"),
    [
        (Range(least=1), (1, 2), (0, float("inf"), float("nan")), "at least 1"),
        (Range(above=0, most=1), (0.1, 1), (0, 1.1), "above 0 and at most 1"),
        (Range(least=0, below=1), (0, 0.9), (-0.1, 1), "at least 0 and below 1"),
        (Range(), (-1e9, 0), (float("inf"),), "finite"),
    ],
)
def test_limits(limits: Range, inside: tuple[float, ...], outside: tuple[float, ...], words: str) -> None:
    assert all(value in limits for value in inside)
    assert not any(value in limits for value in outside)
    assert str(limits) == words


def test_an_annotation_inside_an_optional_one_counts() -> None:
    @dataclass(frozen=True)
    class Nested:
        value: Annotated[float, Range(above=1)] | None = None

    check(Nested())
    with pytest.raises(ConfigError, match="value must be above 1, got 1"):
        check(Nested(1.0))


def test_the_nearest_name_or_all() -> None:
    assert nearest("trian", ["train", "demo"]) == ", did you mean train?"
    assert nearest("qqq", ["train", "demo"]) == "; known: train, demo"
