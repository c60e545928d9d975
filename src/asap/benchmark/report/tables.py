"""Numbers as words: the rows of the result table, Markdown and JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from asap.benchmark.report.data import ReportData

__all__ = [
    "HEADINGS",
    "attribute_rows",
    "calibration_rows",
    "json_report",
    "markdown_page",
    "model_rows",
    "number",
    "share",
    "strength",
    "table_text",
]

Json = Mapping[str, Any]
NONE: Final = "n/a"
HEADINGS: Final = (
    "Model", "AER", "AER corrected", "n", "Change against base", "Relative", "RSI", "Win / tie / lose",
    "Parts not visible", "Moved outside people", "Fréchet",
)  # fmt: skip


def share(value: Json | None, digits: int = 1, *, sign: bool = False) -> str:
    """An estimate of a share as ``41.2 % [36.0, 46.5]``; a difference (``sign``) in points; n/a without a number."""
    if not value or value.get("value") is None:
        return NONE
    plus, unit = ("+", "points") if sign else ("", "%")
    text = f"{100 * value['value']:{plus}.{digits}f} {unit}"
    return text if not value.get("ci") else f"{text} [{_range(value['ci'], 100, digits, plus)}]"


def number(value: Json | None, digits: int = 2) -> str:
    """An estimate as ``1.17 [1.05, 1.31]``."""
    if not value or value.get("value") is None:
        return NONE
    text = f"{value['value']:.{digits}f}"
    return text if not value.get("ci") else f"{text} [{_range(value['ci'], 1, digits, '')}]"


def strength(rsi: Json) -> str:
    """RSI with its interval, or why it is not defined."""
    return str(rsi["note"]) if rsi["value"] is None and rsi.get("note") else number(rsi)


def _range(ci: Sequence[float], scale: float, digits: int, plus: str) -> str:
    return ", ".join(f"{scale * bound:{plus}.{digits}f}" for bound in ci)


def _plain(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def model_rows(data: ReportData) -> list[list[str]]:
    """One row for each model, under ``HEADINGS``."""
    rows = []
    for name, result in data.models.items():
        paired, base = result["paired"], name == data.base
        rows.append([
            name,
            share(result["aer"]),
            share(result["aer_corrected"]),
            str(result["n"]) + (f" (+{result['unscored']} unscored)" if result["unscored"] else ""),
            "" if base else share(paired["difference"], sign=True),
            "" if base else share(paired["relative_reduction"]),
            "" if base else strength(result["rsi"]),
            "" if base else f"{result['win']} / {result['tie']} / {result['lose']}",
            share(result["not_visible"]),
            "" if base else share(result["drift"]["outside_change"], 2),
            _plain(result["drift"].get("frechet")),
        ])  # fmt: skip
    return rows


def attribute_rows(data: ReportData) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: how often each caption attribute is right."""
    names = sorted({name for result in data.models.values() for name in result["drift"]["attributes"]})
    rows = []
    for model, result in data.models.items():
        found = result["drift"]["attributes"]
        rows.append([model, *(share(found.get(name)) for name in names)])
    return ["Model", *(f"{name} as captioned" for name in names)], rows


def calibration_rows(calibration: Json) -> list[list[str]]:
    """Scope, AUROC, sensitivity, specificity, n of each block of a calibration."""
    blocks: list[tuple[str, Json]] = [
        ("known operations", calibration),
        ("operations never taught", calibration["held_out"]),
        ("all operations", calibration["all"]),
    ]
    blocks += [(f"part: {name}", block) for name, block in calibration["by_part"].items()]
    for name, block in calibration["by_operation"].items():
        blocks.append((f"operation: {name}" + (" (never taught)" if block.get("held_out") else ""), block))
    blocks += [(f"severity {name}", block) for name, block in calibration["by_severity"].items()]
    return [
        [name, number(row["auroc"], 3), share(row["sensitivity"]), share(row["specificity"]), str(row["auroc"]["n"])]
        for name, row in blocks
    ]


def judge_line(data: ReportData) -> str:
    """The judge's own error rates, to stand beside every AER."""
    found = data.calibration
    return (
        f"Judge {str(found['fingerprint'])[:12]}: sensitivity {share(found['all']['sensitivity'])} "
        f"(n = {found['all']['sensitivity']['n']}), specificity {share(found['all_clean'])} "
        f"(n = {found['all_clean']['n']}), on people it never saw, after the generator's round trip. "
        "AER corrected is what these rates imply (Rogan-Gladen); it supposes that the generator's mistakes are as hard "
        "to see as ours."
    )


def null_line(data: ReportData) -> str:
    """Whether correct re-poses fail more often than untouched images."""
    null = data.calibration["null"]
    if null["null_failure_rate"]["value"] is None:
        return "No null edits were measured."
    return (
        f"Null edits (a different but correct pose) fail in {share(null['null_failure_rate'])}, the images they were "
        f"made from in {share(null['clean_failure_rate'])}; difference {share(null['difference'], sign=True)}, "
        f"n = {null['difference']['n']}."
    )


def json_report(data: ReportData) -> dict[str, Any]:
    """Every number of the page."""
    return {
        "title": data.title,
        "base": data.base,
        "models": {name: dict(result) for name, result in data.models.items()},
        "calibration": dict(data.calibration),
        "sweep": {name: [vars(point) for point in points] for name, points in data.sweep.items()},
        "facts": dict(data.facts),
    }


def table_text(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in [headings, ["---"] * len(headings), *rows]]
    return "\n".join(lines)


def markdown_page(data: ReportData) -> str:
    """The tables in Markdown."""
    parts = [f"# {data.title}", "## Result", table_text(HEADINGS, model_rows(data)), judge_line(data)]
    headings, rows = attribute_rows(data)
    if len(headings) > 1:
        parts += ["## Caption attributes", table_text(headings, rows)]
    scopes = ("Scope", "AUROC", "Sensitivity", "Specificity", "n")
    parts += ["## The judge", table_text(scopes, calibration_rows(data.calibration)), null_line(data)]
    if data.facts:
        parts += ["## Facts", "\n".join(f"- {name}: {value}" for name, value in data.facts.items())]
    return "\n\n".join(parts) + "\n"
