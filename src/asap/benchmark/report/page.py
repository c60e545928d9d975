"""The page: Jinja template, images as data URIs, charts inline; it asks the network for nothing."""

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

from asap.benchmark.report import figures, tables
from asap.benchmark.report.data import Example, PairView, ReportData

__all__ = ["data_uri", "environment_of", "html_page", "outlined"]

TEMPLATES = Path(__file__).parent / "templates"
OUTLINE = (255, 64, 160)


def data_uri(image: npt.NDArray[np.uint8]) -> str:
    """An image as a lossless PNG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def outlined(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image (S, S, 3) with the border of the mask (S, S) drawn on it, one pixel wide, inside the mask."""
    inside = mask > 0
    core = inside.copy()
    core[1:] &= inside[:-1]
    core[:-1] &= inside[1:]
    core[:, 1:] &= inside[:, :-1]
    core[:, :-1] &= inside[:, 1:]
    drawn = image.copy()
    drawn[inside & ~core] = OUTLINE
    return drawn


@cache
def environment_of(name: str) -> Template:
    """The template of that file name."""
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def _pair(pair: PairView) -> dict[str, str]:
    return {
        "chosen": data_uri(pair.chosen),
        "rejected": data_uri(pair.rejected),
        "outlined": data_uri(outlined(pair.rejected, pair.mask)),
        "prompt": pair.prompt,
        "label": pair.label,
    }


def _example(example: Example) -> dict[str, Any]:
    shown = [
        {
            "model": name,
            "image": data_uri(row.image),
            "verdict": {True: "wrong", False: "passes", None: "not scored"}[row.fails],
            "percent": "" if row.probability is None else f"{100 * row.probability:.0f} %",
        }
        for name, row in example.shown.items()
    ]
    return {"prompt": example.prompt, "category": example.category, "seed": example.seed, "shown": shown}


def html_page(data: ReportData) -> str:
    """The report as one HTML document."""
    names = list(data.models)
    headings, rows = tables.attribute_rows(data)
    charts = {
        "radar": figures.radar(data.models),
        "bars": figures.bars(data.models, data.base),
        "frontier": figures.frontier(data),
    }
    return environment_of("report.html.j2").render(
        title=data.title,
        base=data.base,
        headline=headline(data),
        judge_line=tables.judge_line(data),
        null_line=tables.null_line(data),
        result={"headings": tables.HEADINGS, "rows": tables.model_rows(data)},
        attributes={"headings": headings, "rows": rows},
        calibration=tables.calibration_rows(data.calibration),
        pairs=[_pair(pair) for pair in data.pairs],
        examples=[_example(example) for example in data.examples],
        curves=[Markup(chart) for chart in figures.curves(data.curves, names)],
        charts={name: Markup(chart) for name, chart in charts.items()},
        facts=data.facts,
    )


def headline(data: ReportData) -> str:
    """One sentence: the model with the lowest AER against the base, with the interval of the difference."""
    scored = {name: row for name, row in data.models.items() if row["aer"]["value"] is not None}
    others = [name for name in scored if name != data.base]
    if data.base not in scored or not others:
        return "No model could be compared with the base."
    best = min(others, key=lambda name: float(scored[name]["aer"]["value"]))
    row = scored[best]
    change = row["paired"]["difference"]
    clear = change["ci"] is not None and (change["ci"][1] < 0 or change["ci"][0] > 0)
    return (
        f"{best} errs in {tables.share(row['aer'])} of images, the base in {tables.share(scored[data.base]['aer'])}: "
        f"{tables.share(change, sign=True)} at equal prompts and seeds, n = {change['n']}; "
        f"the interval {'excludes' if clear else 'does not exclude'} zero."
    )
