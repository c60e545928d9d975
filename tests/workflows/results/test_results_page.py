from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from asap.workflows.results.results_page import estimate_text, results_page, results_table


def estimate(value: float | None, half: float = 0.01) -> dict[str, Any]:
    return {"value": value, "ci": None if value is None else [value - half, value + half], "n": 40}


def row(aer: float, **changes: object) -> dict[str, Any]:
    attributes = {
        "skin": {**estimate(0.9), "change": estimate(-0.02)},
        "fingers": {**estimate(0.6), "change": estimate(0.1)},
    }
    return {
        "aer": aer,
        "ci": [aer - 0.05, aer + 0.05],
        "paired_ci": estimate(aer - 0.5),
        "relative_reduction": estimate(1 - aer / 0.5, 0.1),
        "rsi": 1.25,
        "win": 9,
        "tie": 30,
        "lose": 1,
        "n": 40,
        "steps": 150,
        "seconds": 61.7,
        "by_category": {"hands": estimate(aer), "bodies": estimate(None)},
        "drift": {
            "attributes": attributes,
            "outside_change": estimate(0.0123, 0.001),
            "frechet_change": estimate(-0.25),
        },
        **changes,
    }


TABLE = {"base": row(0.5), "asap": row(0.3), "dpo": row(0.4, rsi=None), "best": "asap"}
SWEEP = {name: [row(0.45, steps=75, seconds=30.2), TABLE[name]] for name in ("asap", "dpo")}
JUDGE: dict[str, Any] = {name: estimate(0.9) for name in ("sensitivity", "specificity", "auroc")}
JUDGE |= {"domain": "edited renders at 64 px"}
EQUAL = {"dpo": {"drift": 0.0123, "change": {"asap": estimate(-0.15), "dpo": estimate(-0.1)}}}
PAGE = results_page({"mini": TABLE, "sweep": SWEEP, "equal_drift": EQUAL, "judge": JUDGE}, ("asap", "dpo"), 150)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def tables(page: str) -> dict[str, list[list[str]]]:
    """Cells of the table below each heading, without its rule."""
    found = {}
    for section in page.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        found[section.splitlines()[0]] = [cells(line) for line in lines if not line.startswith("|---")]
    return found


def test_main_table_by_hand() -> None:
    head, rule, base, asap, dpo = results_table(TABLE, ("asap", "dpo"))
    assert len(cells(head)) == len(cells(rule)) == len(cells(base)) == 9
    assert cells(base) == ["base", "", "0.500 [0.450, 0.550]", "", "", "1.00", "", "", "40"]
    assert cells(asap) == [
        "asap",
        "150",
        "0.300 [0.250, 0.350]",
        "-0.200 [-0.210, -0.190]",
        "40.0% [30.0%, 50.0%]",
        "1.25",
        "9 / 30 / 1",
        "0.0123 [0.0113, 0.0133]",
        "40",
    ]
    assert cells(dpo)[5] == "-"


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (None, ".3f", "-"),
        ({"value": None, "ci": None}, ".3f", "-"),
        ({"value": 0.5, "ci": None}, ".3f", "0.500"),
        ({"value": 0.5}, ".1%", "50.0%"),
        ({"value": -0.5, "ci": [-1, 0]}, "+.2f", "-0.50 [-1.00, +0.00]"),
    ],
)
def test_an_estimate_as_text(value: Mapping[str, Any] | None, style: str, text: str) -> None:
    assert estimate_text(value, style) == text


def test_page_has_every_table_whole() -> None:
    found = tables(PAGE)
    wide = {name: {len(line) for line in lines} for name, lines in found.items()}
    assert all(len(widths) == 1 for widths in wide.values()), wide
    assert len(found) == 5
    assert PAGE.endswith("\n")
    assert "sensitivity 0.900 [0.890, 0.910] (n 40)" in PAGE
    assert "It is calibrated on edited renders at 64 px. The AER of this page is the judge's own" in PAGE
    assert "At equal steps (150)" in PAGE
    assert "**asap**" in PAGE


def part(heading: str) -> Sequence[Sequence[str]]:
    return next(lines for name, lines in tables(PAGE).items() if heading in name)


def test_equal_drift_has_a_column_for_each_drift() -> None:
    assert part("At equal drift") == [
        ["method", "as dpo, 0.0123"],
        ["asap", "-0.150 [-0.160, -0.140]"],
        ["dpo", "-0.100 [-0.110, -0.090]"],
    ]


def test_sweep_has_a_line_for_each_number_of_steps() -> None:
    lines = part("Over the steps")
    assert [line[:2] for line in lines[1:]] == [["asap", "75"], ["asap", "150"], ["dpo", "75"], ["dpo", "150"]]
    assert lines[1][2:] == ["0.450 [0.400, 0.500]", "0.0123 [0.0113, 0.0133]", "-0.250 [-0.260, -0.240]", "30"]


def test_attributes_show_change_of_the_aligned_alone() -> None:
    head, base, asap, _ = part("Caption attributes")
    assert head == ["method", "fingers", "skin"]
    assert base == ["base", "0.600", "0.900"]
    assert asap == ["asap", "0.600 (+0.100 [+0.090, +0.110])", "0.900 (-0.020 [-0.030, -0.010])"]


def test_categories_without_a_number_show_a_dash() -> None:
    head, base, *_ = part("AER by category")
    assert head == ["method", "hands", "bodies"]
    assert base == ["base", "0.500 [0.490, 0.510]", "-"]
