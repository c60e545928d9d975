"""The learned judge's error rates as a page: overall, by part, operation and severity, with n and intervals."""

from collections.abc import Mapping
from typing import Any

from asap.workflows.results.results_page import estimate_text

__all__ = ["calibration_page"]

_HEAD = ["| {} | AUROC | sensitivity | specificity | n defects |", "|---|---|---|---|---|"]


def calibration_page(calibration: Mapping[str, Any]) -> str:
    """Markdown of a calibration, as ``asap judge calibrate --judge learned --json`` prints it."""
    held = ", ".join(calibration["held_out_operations"])
    null = calibration["null"]
    lines = [
        "# Calibration of the learned judge",
        "",
        "Written by `asap reproduce mini` from the stored calibration (`asap judge calibrate --judge learned --json`); "
        "do not edit. Truth: rendered people that the judge never saw, with known defects and null edits; both "
        "images passed through the generator's autoencoder and a few of its steps. Intervals are 95 %.",
        "",
        *_table(
            "scope",
            {
                "operations in training": calibration,
                f"held-out operations ({held})": calibration["held_out"],
                "all": calibration["all"],
            },
        ),
        "",
        f"People: {calibration['people']}. Threshold (logit): {calibration['threshold']:.4f}, set on other people at "
        "specificity 0.9. Fingerprint: `" + str(calibration["fingerprint"])[:16] + "`.",
        "",
        "## Null edits: another correct pose must not fail more often than the original image",
        "",
        "| clean images failed | re-posed images failed | difference | McNemar p |",
        "|---|---|---|---|",
        f"| {estimate_text(null['clean_failure_rate'])} | {estimate_text(null['null_failure_rate'])} | "
        f"{estimate_text(null['difference'], '+.3f')} | {null['mcnemar_p']:.3f} |",
        "",
        "## By part",
        "",
        *_table("part", calibration["by_part"]),
        "",
        "## By operation",
        "",
        *_table(
            "operation",
            {
                name + (" (held out)" if block["held_out"] else ""): block
                for name, block in calibration["by_operation"].items()
            },
        ),
        "",
        "## By severity",
        "",
        *_table("severity", calibration["by_severity"]),
    ]
    return "\n".join(lines) + "\n"


def _table(first: str, blocks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [_HEAD[0].format(first), _HEAD[1]]
    for name, block in blocks.items():
        cells = [estimate_text(block[key]) for key in ("auroc", "sensitivity", "specificity")]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {block['sensitivity']['n']} |")
    return lines
