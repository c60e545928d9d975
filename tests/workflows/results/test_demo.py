"""The table at the end of the demo."""

from typing import Any

from rich.console import Console

from asap.workflows.results.demo import WIDTH, results_table


def sources(value: float) -> dict[str, Any]:
    """Judge and ratings; without a combined estimate."""
    judged = {"value": value, "ci": [value - 0.05, value + 0.05]}
    rated = {"value": value + 0.2, "ci": None}
    return {"rated": rated, "judged": judged, "combined": {"value": None}, "n_rated": 7, "n_judged": 312}


def row(aer: float) -> dict[str, Any]:
    return {"evidence": {"aer": sources(aer), "difference": sources(aer - 0.5)}}


def test_the_table_fits_a_terminal_and_cuts_nothing() -> None:
    console = Console(width=WIDTH, record=True)
    console.print(results_table({"base": row(0.5), "localized_dpo": row(0.4)}))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for wanted in ("localized_dpo", "0.500 [0.450, 0.550]", "-0.100 [-0.150, -0.050]", "unknown", "0.700", "7", "312"):
        assert wanted in text
    assert text.count("-0.100") == 1  # the base has no change to itself
