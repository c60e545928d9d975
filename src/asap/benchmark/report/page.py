"""The comparison page: one HTML file that loads nothing from the network.

Thumbnails lie in the page as text, one JSON list per model, and become images when they are scrolled into view.
"""

import base64
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

from asap.benchmark.report import figures
from asap.benchmark.report.data import Case, Comparison, PairView
from asap.benchmark.report.flips import clearest_flips, worst_cases
from asap.benchmark.report.formats import verdict_word
from asap.benchmark.report.tables import headline, judge_line, null_edit_line, tables, unmeasured
from asap.benchmark.summary import Judged
from asap.core.vocabulary import CATEGORIES

__all__ = ["compare_page", "outlined", "template_of"]

TEMPLATES: Final = Path(__file__).parent / "templates"
OUTLINE: Final = (255, 64, 160)
SHOWN: Final = 4
"""Worst cases, and flips of each kind, per category and model."""


def compare_page(data: Comparison, thumbnails: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """The page as HTML in pieces, so that its thumbnails need not be in memory together.

    Args:
        data: everything but the images.
        thumbnails: by model, a base64 WebP image for each of ``data.cases``, empty where the model has none.
    """
    names = list(data.models)
    charts = {
        "frontier": figures.frontier(data),
        "radar": figures.radar(data.models),
        "before": figures.before_after(data.models),
        "bars": figures.bars(data.models, data.base),
    }
    cases = [_case(case, names) for case in data.cases]
    return template_of("compare.html.j2").generate(
        title=data.title,
        base=data.base,
        headline=headline(data),
        judge_line=judge_line(data),
        null_edit_line=null_edit_line(data.calibration) if data.calibration else "",
        flags=data.flags,
        unmeasured=unmeasured(data),
        tables=tables(data),
        charts={name: Markup(chart) for name, chart in charts.items() if chart},
        curves=[Markup(chart) for chart in figures.curves(data.curves, names)],
        pairs=[_pair(pair) for pair in data.pairs],
        names=names,
        categories=[name for name in CATEGORIES if any(case.category == name for case in data.cases)],
        groups=_groups(data),
        wall=_script({"models": names, "base": data.base, "cases": cases}),
        thumbnails=[_script_list(thumbnails[name]) for name in names],
        count=sum(len(case.verdicts) for case in data.cases),
        facts=data.facts,
    )


def _groups(data: Comparison) -> list[dict[str, Any]]:
    """Worst cases and flips: a heading and the indices of the cases to show under it, by model and category."""
    found = []
    for model in data.models:
        for category in CATEGORIES:
            kinds = {"worst": worst_cases(data, model, category, SHOWN)}
            if model != data.base:
                kinds["fixed"] = clearest_flips(data, model, "fixed", category, SHOWN)
                kinds["broken"] = clearest_flips(data, model, "broken", category, SHOWN)
            for kind, places in kinds.items():
                if places:
                    found.append({"model": model, "category": category, "kind": kind, "places": places})
    return found


def _case(case: Case, names: Sequence[str]) -> dict[str, Any]:
    """A case for the page's script; short keys, as there may be thousands."""
    verdicts = [None if one is None else _verdict(one) for one in map(case.verdicts.get, names)]
    return {"i": case.prompt_id, "t": case.prompt, "c": case.category, "s": case.seed, "m": verdicts}


def _verdict(row: Judged) -> dict[str, Any]:
    found = {"v": verdict_word(row.fails, row.error), "r": row.reason, "h": " ".join(row.hidden_parts)}
    return found if row.probability is None else {**found, "p": round(row.probability, 3)}


def _script(value: object) -> Markup:
    """JSON that may stand inside a script element."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def _script_list(texts: Iterable[str]) -> Iterator[Markup]:
    """A JSON list of texts, piece by piece."""
    separator = "["
    for text in texts:
        yield Markup(separator) + _script(text)
        separator = ","
    yield Markup("[]" if separator == "[" else "]")


def _pair(pair: PairView) -> dict[str, str]:
    return {
        "chosen": _data_uri(pair.chosen),
        "rejected": _data_uri(pair.rejected),
        "outlined": _data_uri(outlined(pair.rejected, pair.mask)),
        "prompt": pair.prompt,
        "label": pair.label,
    }


def _data_uri(image: npt.NDArray[np.uint8]) -> str:
    """An image as a lossless PNG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def outlined(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image (H, W, 3) with the border of the mask (H, W) drawn on it, one pixel wide, inside the mask."""
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
def template_of(name: str) -> Template:
    """The template of that file name."""
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)
