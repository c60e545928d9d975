"""Charts as inline SVG. Text and axes take the page's colour, so one file serves light and dark."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asap.benchmark.report.data import Comparison, Curve, Point
from asap.core.vocabulary import CATEGORIES

__all__ = ["bars", "before_after", "colour_of", "curves", "frontier", "radar"]

INK: Final = "#010203"
"""Placeholder for the page's text colour, replaced when the SVG is written."""
PALETTE: Final = ("#8a8f98", "#4c8dd6", "#e08a2c", "#3fa97a", "#c8648f", "#8d7bd6", "#b59a2e", "#4fb3bf")
"""Grey for the base, then hues that stay apart for most kinds of colour vision, on white and on black."""
VOTES: Final = {"win": "#3fa97a", "tie": "#8a8f98", "lose": "#d0604f"}
MARKERS: Final = "osD^vPX*"
Axes = Any


def colour_of(names: Sequence[str], name: str) -> str:
    """The colour of a model, the same in every chart."""
    return PALETTE[list(names).index(name) % len(PALETTE)]


def _figure(width: float, height: float, projection: str | None = None) -> tuple[Any, Axes]:
    """A figure without background whose lines and text are INK."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    return figure, figure.add_subplot(projection=projection)


def _svg(figure: Any, label: str) -> str:  # noqa: ANN401 - matplotlib ships no types for us
    """The figure as an SVG element with an accessible name; ids are made its own, as a page holds several."""
    import matplotlib as mpl

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": label,
        "font.family": "sans-serif",
    }
    buffer = io.StringIO()
    with mpl.rc_context(settings):
        figure.savefig(
            buffer,
            format="svg",
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", label)[:24]
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1))
    text = text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return text.replace(INK, "currentColor")


def _dress(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Thin axes with a light grid."""
    axes.patch.set_alpha(0)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.tick_params(colors=INK, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
        spine.set_alpha(0.4)
    axes.grid(visible=True, color=INK, alpha=0.12, linewidth=0.7)
    axes.set_axisbelow(True)


def _legend(axes: Axes, **where: object) -> None:
    """A legend without a box."""
    axes.legend(frameon=False, labelcolor=INK, fontsize=9, **where)


def curves(found: Sequence[Curve], names: Sequence[str]) -> list[str]:
    """One chart per quantity, with a line for each model."""
    charts = []
    for quantity in dict.fromkeys(curve.quantity for curve in found):
        figure, axes = _figure(4.6, 2.9)
        for curve in found:
            if curve.quantity == quantity:
                known = list(names) if curve.model in names else [*names, curve.model]
                axes.plot(
                    curve.steps, curve.values, label=curve.model, color=colour_of(known, curve.model), linewidth=1.6
                )
        _dress(axes, "step", quantity)
        _legend(axes)
        charts.append(_svg(figure, f"{quantity} over training steps"))
    return charts


def _rates(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """``all`` and every category: from ratings where there are any, else of the judge alone."""
    found = row["evidence"]
    if found["n_rated"]:
        return {"all": found["aer"], **found["by_category"]}
    return {"all": row["aer"], **row["by_category"]}


def _axis(models: Mapping[str, Mapping[str, Any]]) -> str:
    """What the axis of a rate shows."""
    return "AER, %" if all(row["evidence"]["n_rated"] for row in models.values()) else "AER of the judge alone, %"


def radar(models: Mapping[str, Mapping[str, Any]]) -> str:
    """AER of each model in each category that all have."""
    names = [name for name in CATEGORIES if all(_value(row, name) is not None for row in models.values())]
    if len(names) < 3:
        return ""
    angles = [2 * math.pi * place / len(names) for place in range(len(names))]
    figure, axes = _figure(5.2, 4.6, "polar")
    axes.patch.set_alpha(0)
    for model, row in models.items():
        values = [100 * float(_value(row, name) or 0) for name in names]
        colour = colour_of(list(models), model)
        axes.plot([*angles, angles[0]], [*values, values[0]], color=colour, label=model, linewidth=1.8)
        low, high = zip(*(_span(row, name) for name in names), strict=True)
        axes.fill_between([*angles, angles[0]], [*low, low[0]], [*high, high[0]], color=colour, alpha=0.14, linewidth=0)
    axes.set_theta_offset(math.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_ylim(bottom=0)
    axes.set_xticks(angles, [name.replace("_", "\n") for name in names], color=INK, fontsize=9)
    axes.tick_params(colors=INK, pad=9)
    axes.spines["polar"].set_color(INK)
    axes.spines["polar"].set_alpha(0.3)
    axes.grid(color=INK, alpha=0.18)
    _legend(axes, loc="upper left", bbox_to_anchor=(1.08, 1.05))
    return _svg(figure, "AER in percent by category with 95 % bands, lower is better")


def _span(row: Mapping[str, Any], category: str) -> tuple[float, float]:
    """The interval of a category's AER in percent."""
    low, high = _rates(row)[category]["ci"]
    return 100 * low, 100 * high


def before_after(models: Mapping[str, Mapping[str, Any]]) -> str:
    """AER of each model, over all and by category, side by side with their intervals."""
    rows = {name: _rates(row) for name, row in models.items()}
    groups = [name for name in ("all", *CATEGORIES) if any((row.get(name) or {}).get("ci") for row in rows.values())]
    if not groups:
        return ""
    figure, axes = _figure(7.4, 3.4)
    width = 0.8 / len(rows)
    for number, (model, row) in enumerate(rows.items()):
        found = [(place, row[name]) for place, name in enumerate(groups) if (row.get(name) or {}).get("ci")]
        values = [100 * one["value"] for _, one in found]
        errors = [
            [max(0.0, value - 100 * one["ci"][0]) for value, (_, one) in zip(values, found, strict=True)],
            [max(0.0, 100 * one["ci"][1] - value) for value, (_, one) in zip(values, found, strict=True)],
        ]
        axes.bar(
            [place + (number - (len(rows) - 1) / 2) * width for place, _ in found], values, width=0.92 * width,
            yerr=errors, color=colour_of(list(models), model), label=model,
            error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": INK},
        )  # fmt: skip
    _dress(axes, "", _axis(models))
    axes.set_xticks(range(len(groups)), [name.replace("_", "\n") for name in groups], color=INK, fontsize=9)
    axes.set_ylim(bottom=0)
    _legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=max(1, min(5, len(rows))))
    return _svg(figure, "AER before and after, over all and by category")


def _value(row: Mapping[str, Any], category: str) -> float | None:
    found = _rates(row).get(category) or {}
    return found.get("value") if found.get("ci") else None


def bars(models: Mapping[str, Mapping[str, Any]], base: str) -> str:
    """Win, tie and lose of each aligned model against the base."""
    names = [name for name, row in models.items() if name != base and any(row[vote] for vote in VOTES)]
    if not names:
        return ""
    figure, axes = _figure(6.4, 0.9 + 0.42 * len(names))
    for place, name in enumerate(reversed(names)):
        row, left = models[name], 0.0
        total = max(1, sum(row[vote] for vote in VOTES))
        for vote, colour in VOTES.items():
            width = 100 * row[vote] / total
            axes.barh(place, width, left=left, color=colour, height=0.62, label=vote if place == 0 else None)
            if width >= 6:
                axes.text(
                    left + width / 2, place, f"{width:.0f} %", ha="center", va="center", fontsize=9, color="white"
                )
            left += width
    _dress(axes, "share of images at equal prompt and seed, %", "")
    axes.set_yticks(range(len(names)), list(reversed(names)), color=INK)
    axes.set_xlim(0, 100)
    axes.grid(visible=False)
    _legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return _svg(figure, "Win, tie and lose against the base model")


def frontier(data: Comparison) -> str:
    """AER against drift: down and left is better."""
    sweep = data.sweep or {name: _own_point(name, row) for name, row in data.models.items()}
    sweep = {name: points for name, points in sweep.items() if points}
    if not sweep:
        return ""
    figure, axes = _figure(6.4, 4.0)
    names = list(dict.fromkeys([*data.models, *sweep]))
    for place, (name, points) in enumerate(sweep.items()):
        ordered = sorted(points, key=lambda point: point.drift)
        x, y = [100 * point.drift for point in ordered], [100 * point.aer for point in ordered]
        errors = [
            [100 * (point.aer - point.low) for point in ordered],
            [100 * (point.high - point.aer) for point in ordered],
        ]
        axes.errorbar(
            x, y, yerr=errors, color=colour_of(names, name), marker=MARKERS[place % len(MARKERS)],
            linewidth=1.5, elinewidth=0.8, capsize=2, label=name,
        )  # fmt: skip
    _dress(axes, "drift: mean same-seed change outside people, % of full scale", _axis(data.models))
    _legend(axes)
    return _svg(figure, "AER against drift, down and left is better")


def _own_point(name: str, row: Mapping[str, Any]) -> list[Point]:
    """The point of a model without a sweep, from its summary."""
    aer, moved = _rates(row)["all"], row["drift"]["outside_change"]
    if aer["value"] is None or moved["value"] is None:
        return []
    low, high = aer["ci"] or (aer["value"], aer["value"])
    return [Point(label=name, drift=moved["value"], aer=aer["value"], low=low, high=high)]
