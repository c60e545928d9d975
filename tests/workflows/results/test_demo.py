"""The table at the end of the demo."""

from typing import Any

from rich.console import Console

from asap.workflows.results.demo import WIDTH, results_table


def row(aer: float) -> dict[str, Any]:
    estimate = {"value": aer, "ci": [aer - 0.05, aer + 0.05]}
    return {
        "n": 312,
        "aer": estimate,
        "aer_corrected": {"value": None},
        "paired": {"difference": {"value": -0.1, "ci": [-0.2, -0.01]}},
        "judge": {"sensitivity": {"value": 0.931}, "specificity": {"value": 0.9}},
    }


def test_the_table_fits_a_terminal_and_cuts_nothing() -> None:
    console = Console(width=WIDTH, record=True)
    console.print(results_table({"base": row(0.5), "localized_dpo": row(0.4)}))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for wanted in ("localized_dpo", "0.500 [0.450, 0.550]", "-0.100 [-0.200, -0.010]", "unknown", "0.931", "312"):
        assert wanted in text
    assert text.count("-0.100") == 1  # the base has no change to itself
