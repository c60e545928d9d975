"""The page of results: tables at equal steps, at equal drift and over the sweep; every figure with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["estimate_text", "results_page", "results_table"]

Row = Mapping[str, Any]


def results_page(found: Mapping[str, Any], methods: Sequence[str], steps: int) -> str:
    """Markdown of everything that ``asap reproduce mini`` measured."""
    table, judge = found["mini"], found["judge"]
    rates = ", ".join(
        f"{name} {judge[name]['value']:.3f} {_span(judge[name]['ci'])} (n {judge[name]['n']})"
        for name in ("sensitivity", "specificity", "auroc")
    )
    lines = [
        "# Results on the embedded model",
        "",
        "Written by `asap reproduce mini`; do not edit. AER is the share of images that the learned judge marks "
        "as wrong; intervals are 95 %, clustered by prompt. Images of all training seeds are pooled and paired with "
        "the base model's image of the same prompt and seed.",
        "",
        f"Judge, on held-out people and the operations that it was trained on: {rates}. It is calibrated on "
        f"{judge.get('domain', 'unknown images')}. The AER of this page is the judge's own and is not corrected.",
        "",
        f"## At equal steps ({steps})",
        "",
        *results_table(table, methods),
        "",
        "`+own` is trained on on-policy pairs: an image of the model beside the rendered truth. `+again` continues the "
        "model of `localized_dpo` with the first seed, on the same rendered pairs and with that model as the "
        "reference. `+round` is iterative training from the model of `+again`: each round generates new on-policy "
        "pairs, the best image beside the worst. Steps and drift are counted from the base.",
        "",
        "## At equal drift",
        "",
        *_drift_table(found["equal_drift"], methods),
        "",
        "Change of AER to the base when each method has drifted as far as the method in the head of the column has at "
        "the end of its sweep; interpolated linearly between the rows of the next table. "
        f"Best localized method, by the last column: **{table['best']}**.",
        "",
        "## Over the steps: AER against drift",
        "",
        *_sweep_table(found["sweep"], methods),
        "",
        "Drift outside is the mean absolute change, at equal seed, of pixels where neither image shows a person "
        "(0 to 1). Fréchet is the change of the distance to clean renders (below 0: nearer).",
        "",
        "## Caption attributes, change against base (1 = always right)",
        "",
        *_attribute_table(table, methods),
        "",
        "## AER by category",
        "",
        *_category_table(table, methods),
    ]
    return "\n".join(lines) + "\n"


def results_table(table: Mapping[str, Any], methods: Sequence[str]) -> list[str]:
    """Markdown lines of the main table, base first."""
    names = ("method", "steps", "AER, judge alone", "change to base", "relative reduction", "RSI", "win / tie / lose")
    lines = [f"| {' | '.join(names)} | drift | n |", "|---" * (len(names) + 2) + "|"]
    for name in ("base", *methods):
        row = table[name]
        own = name == "base"
        cells = [
            name,
            "" if own else str(row["steps"]),
            f"{row['aer']:.3f} {_span(row['ci'])}",
            "" if own else estimate_text(row["paired_ci"], "+.3f"),
            "" if own else estimate_text(row["relative_reduction"], ".1%"),
            "1.00" if own else _number(row["rsi"], ".2f"),
            "" if own else f"{row['win']} / {row['tie']} / {row['lose']}",
            "" if own else estimate_text(row["drift"]["outside_change"], ".4f"),
            str(row["n"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _drift_table(compared: Mapping[str, Row], methods: Sequence[str]) -> list[str]:
    heads = [f"as {name}, {column['drift']:.4f}" for name, column in compared.items()]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for method in methods:
        cells = [estimate_text(column["change"][method], "+.3f") for column in compared.values()]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def _sweep_table(sweep: Mapping[str, Sequence[Row]], methods: Sequence[str]) -> list[str]:
    lines = ["| method | steps | AER | drift outside | Fréchet change | seconds |", "|---|---|---|---|---|---|"]
    for name in methods:
        for row in sweep[name]:
            drift = row["drift"]
            cells = [
                name,
                str(row["steps"]),
                f"{row['aer']:.3f} {_span(row['ci'])}",
                estimate_text(drift["outside_change"], ".4f"),
            ]
            cells += [estimate_text(drift.get("frechet_change"), "+.3f"), f"{row['seconds']:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _attribute_table(table: Mapping[str, Any], methods: Sequence[str]) -> list[str]:
    names = sorted(table["base"]["drift"]["attributes"])
    lines = ["| method | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for method in ("base", *methods):
        found = table[method]["drift"]["attributes"]
        cells = []
        for name in names:
            rate = found.get(name)
            if rate is None:
                cells.append("")
                continue
            change = "" if method == "base" else f" ({estimate_text(rate['change'], '+.3f')})"
            cells.append(f"{_number(rate['value'], '.3f')}{change}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def _category_table(table: Mapping[str, Any], methods: Sequence[str]) -> list[str]:
    names = list(table["base"]["by_category"])
    lines = ["| method | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for method in ("base", *methods):
        found = table[method]["by_category"]
        lines.append(f"| {method} | " + " | ".join(estimate_text(found.get(name)) for name in names) + " |")
    return lines


def estimate_text(estimate: Mapping[str, Any] | None, style: str = ".3f") -> str:
    """Value and interval as text; "-" where there is no number."""
    if estimate is None or estimate.get("value") is None:
        return "-"
    span = estimate.get("ci")
    return f"{estimate['value']:{style}}" + ("" if span is None else f" {_span(span, style)}")


def _span(span: Sequence[float] | None, style: str = ".3f") -> str:
    return "" if span is None else f"[{span[0]:{style}}, {span[1]:{style}}]"


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else f"{value:{style}}"
