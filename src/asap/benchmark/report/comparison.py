"""The page, tables and leaderboard of a comparison. One HTML file that asks the network for nothing.

Thumbnails lie in the page as text, one JSON list a model, and become images when they are scrolled into view.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from asap.benchmark.report import figures
from asap.benchmark.report.cases import FLIPS, Case, CompareData, flip_counts, flip_of, flips, worst
from asap.benchmark.report.page import environment_of
from asap.benchmark.report.tables import NONE, Json, number, share, strength, table_text
from asap.core.vocabulary import CATEGORIES, PARTS

__all__ = ["QUALITY", "compare_csv", "compare_json", "compare_markdown", "compare_page"]

QUALITY: Final = {
    "hpsv3": "HPSv3", "hpsv2.1": "HPSv2.1", "pickscore": "PickScore", "imagereward": "ImageReward",
    "aesthetic": "Aesthetic", "clipscore": "CLIPScore", "fid": "FID", "kid": "KID",
}  # fmt: skip
"""Measures of preserved quality, in the paper's order, then ours."""
PAPER: Final = 5
"""How many of ``QUALITY`` the paper's table has."""
SHOWN: Final = 4
"""Worst cases, and flips of each kind, a category and model."""
BLANK: Final = "not measured"


def _aer(row: Json) -> str:
    """The rate with its interval and n, or why there is none."""
    if row["aer"]["value"] is None:
        return str(row["aer"].get("note") or "no image was scored")
    return f"{row['aer']['value']:.3f} [{row['aer']['ci'][0]:.3f}, {row['aer']['ci'][1]:.3f}], n = {row['n']}"


def _rates(row: Json) -> str:
    """The judge's own sensitivity and specificity, with n."""
    found = [row["judge"][name] for name in ("sensitivity", "specificity")]
    if any(rate["value"] is None for rate in found):
        return BLANK
    return " / ".join(f"{share(rate)}, n = {rate['n']}" for rate in found)


def paper_rows(data: CompareData) -> tuple[list[str], list[list[str]]]:
    """The paper's columns (Table 1 of arXiv:2605.25759), each with its interval; the judge's rates beside every AER."""
    names = list(QUALITY)[:PAPER]
    head = ["Model", "AER", "Judge's sensitivity / specificity", "RSI", *(QUALITY[name] for name in names)]
    rows = []
    for model, row in data.models.items():
        relative = "1.00 (base)" if model == data.base else strength(row["rsi"])
        rows.append([model, _aer(row), _rates(row), relative, *(_quality(data, model, name) for name in names)])
    return head, rows


def detail_rows(data: CompareData) -> tuple[list[str], list[list[str]]]:
    """What stands behind the paper's columns."""
    more = list(QUALITY)[PAPER:]
    head = ["Model", "AER corrected", "Change against base", "p by prompt (McNemar / bootstrap)", "Win / tie / lose"]
    head += ["Win rate without ties", "Parts not visible", "Unscored", "Errors", *(QUALITY[name] for name in more)]
    rows = []
    for model, row in data.models.items():
        own, paired = model == data.base, row["paired"]
        cells = [model, share(row["aer_corrected"])]
        cells += [
            "" if own else share(paired["difference"], sign=True),
            "" if own else _p(paired),
            "" if own else _votes(row),
            "" if own else share(row["rsi"]["win_rate"]),
            share(row["not_visible"]),
            str(row["unscored"]),
            str(row["errors"]),
        ]
        rows.append([*cells, *(_quality(data, model, name) for name in more)])
    return head, rows


def _p(paired: Json) -> str:
    found = [paired["mcnemar_p_clustered"], paired["bootstrap_p"]]
    return NONE if None in found else " / ".join(f"{p:.3g}" for p in found)


def _votes(row: Json) -> str:
    return f"{row['win']} / {row['tie']} / {row['lose']}"


def _quality(data: CompareData, model: str, name: str) -> str:
    found = data.quality.get(model, {}).get(name)
    return number(found, 3) if found and found.get("value") is not None else ""


def unmeasured(data: CompareData) -> str:
    """The measures of quality that nobody took on any model, and why if somebody tried; their cells are blank."""
    taken = {name for found in data.quality.values() for name, row in found.items() if row.get("value") is not None}
    why = {name: row["note"] for found in data.quality.values() for name, row in found.items() if row.get("note")}
    blank = [f"{label} ({why[name]})" if name in why else label for name, label in QUALITY.items() if name not in taken]
    return f"Not measured, so left blank: {', '.join(blank)}." if blank else ""


def prompt_rows(data: CompareData) -> tuple[list[str], list[list[str]]]:
    """AER with prompts as the unit; n counts prompts."""
    head = [
        "Model",
        "Mean of prompts' rates",
        "The same, corrected",
        "Prompts that ever fail",
        "Prompts that always fail",
    ]
    rows = []
    for model, row in data.models.items():
        found = row["aer_by_prompt"]
        cells = [found["mean"], row["aer_corrected_by_prompt"], found["ever"], found["always"]]
        rows.append([model, *(f"{share(one)}, n = {one['n']}" if one["value"] is not None else NONE for one in cells)])
    return head, rows


def hidden_rows(data: CompareData) -> tuple[list[str], list[list[str]]]:
    """Share of parts asked for that the judge does not see, by part."""
    names = [part for part in PARTS if any(part in row["not_visible"]["by_part"] for row in data.models.values())]
    rows = []
    for model, row in data.models.items():
        found = [row["not_visible"], *(row["not_visible"]["by_part"].get(name) for name in names)]
        rows.append(
            [model, *(f"{share(one)}, n = {one['n']}" if one and one["value"] is not None else "" for one in found)]
        )
    return ["Model", "all parts", *names], rows


def agreement_rows(data: CompareData) -> tuple[list[str], list[list[str]]]:
    """Krippendorff's alpha where several answered."""
    rows = []
    for model, found in data.agreement.items():
        for kind, one in found.items():
            alpha = number(one, 3) if one["value"] is not None else "undefined: all answers are equal or too few"
            rows.append([model, kind, ", ".join(one["by"]), f"{alpha}", str(one["n"])])
    return ["Model", "Among", "Who", "Krippendorff's alpha", "n"], rows


def category_rows(data: CompareData) -> tuple[list[str], list[list[str]]]:
    """AER by category, with intervals and n."""
    names = [name for name in CATEGORIES if any(name in row["by_category"] for row in data.models.values())]
    rows = []
    for model, row in data.models.items():
        found = [row["by_category"].get(name) for name in names]
        rows.append([model, *(f"{share(one)}, n = {one['n']}" if one else "" for one in found)])
    return ["Model", *(name.replace("_", " ") for name in names)], rows


def flip_rows(data: CompareData) -> tuple[list[str], list[list[str]]]:
    """How many images each model fixed and broke, by category."""
    rows = []
    for model in data.models:
        if model != data.base:
            for name, counts in flip_counts(data, model).items():
                rows.append([model, name.replace("_", " "), *(str(counts[kind]) for kind in FLIPS)])
    return ["Model", "Category", *(kind.replace("_", " ") for kind in FLIPS)], rows


def judge_line(data: CompareData) -> str:
    """Who judged, and whether anybody knows how well."""
    said = "" if data.judge["calibrated"] else " Nobody has measured this judge: its error rates are unknown."
    return (
        f"Judge {data.judge['name']} ({str(data.judge['fingerprint'])[:12]}); suite {data.suite['name']} "
        f"({str(data.suite['digest'])[:12]}), {data.suite['prompts']} prompts, seeds "
        f"{', '.join(map(str, data.suite['seeds']))}. Intervals are 95 %, clustered by prompt.{said}"
    )


def compare_json(data: CompareData) -> dict[str, Any]:
    """Every number, and every verdict without its image."""
    return {
        "title": data.title,
        "base": data.base,
        "models": {name: dict(row) for name, row in data.models.items()},
        "quality": {name: dict(row) for name, row in data.quality.items()},
        "judge": dict(data.judge),
        "suite": dict(data.suite),
        "flags": list(data.flags),
        "agreement": {name: dict(row) for name, row in data.agreement.items()},
        "flips": {name: flip_counts(data, name) for name in data.models if name != data.base},
        "facts": dict(data.facts or {}),
    }


def compare_csv(data: CompareData) -> str:
    """One row an image: prompt, seed, model, verdict, probability, reason, flip against the base."""
    buffer = io.StringIO()
    write = csv.writer(buffer, lineterminator="\n").writerow
    write(["prompt_id", "category", "seed", "model", "verdict", "probability", "not_visible", "flip", "reason"])
    for case in data.cases:
        for model, tile in case.tiles.items():
            chance = "" if tile.probability is None else f"{tile.probability:.4f}"
            flip = "" if model == data.base else flip_of(case.tiles.get(data.base), tile)
            row = [case.prompt_id, case.category, case.seed, model, verdict_word(tile.fails, tile.error), chance]
            write([*row, " ".join(tile.hidden), flip, tile.reason])
    return buffer.getvalue()


def verdict_word(fails: bool | None, error: bool) -> str:
    """``wrong``, ``passes``, ``error`` or ``not scored``."""
    if fails is None:
        return "error" if error else "not scored"
    return "wrong" if fails else "passes"


def compare_markdown(data: CompareData) -> str:
    """The tables in Markdown."""
    parts = [f"# {data.title}", judge_line(data)]
    if data.flags:
        parts += ["## Before you believe it", "\n".join(f"- {flag}" for flag in data.flags)]
    for heading, _, rows in _tables(data):
        parts += [f"## {heading}", table_text(*rows)]
    parts += [missing] if (missing := unmeasured(data)) else []
    if data.facts:
        parts += ["## Facts", "\n".join(f"- {name}: {value}" for name, value in data.facts.items())]
    return "\n\n".join(parts) + "\n"


def _tables(data: CompareData) -> list[tuple[str, str, tuple[list[str], list[list[str]]]]]:
    """Heading, caption, and headings with rows of each table."""
    paired = f"Against {data.base} at equal prompts and seeds; corrected: what the judge's own error rates imply"
    found = [
        ("Result", "The paper's columns (arXiv:2605.25759, Table 1), with 95 % intervals and n", paper_rows(data)),
        ("Behind the result", paired, detail_rows(data)),
        ("AER by prompt", "A prompt counts once however many images it has", prompt_rows(data)),
        ("AER by category", "Share of images that the judge fails", category_rows(data)),
        ("Parts not visible", "Share of the parts asked for that the judge does not see", hidden_rows(data)),
    ]
    if any(data.agreement.values()):
        found.append(
            ("Agreement", "1 is perfect, 0 what chance gives; n counts what two or more answered", agreement_rows(data))
        )
    if len(data.models) > 1:
        found.append(("Flips", f"Images by what became of the verdict on {data.base}", flip_rows(data)))
    return found


def compare_page(data: CompareData) -> str:
    """The comparison as one HTML document."""
    names = list(data.models)
    charts = {
        "radar": figures.radar(data.models),
        "before": figures.before_after(data.models),
        "bars": figures.bars(data.models, data.base),
    }
    return environment_of("compare.html.j2").render(
        title=data.title,
        base=data.base,
        judge_line=judge_line(data),
        flags=data.flags,
        unmeasured=unmeasured(data),
        tables=_tables(data),
        charts={name: Markup(chart) for name, chart in charts.items() if chart},
        names=names,
        categories=[name for name in CATEGORIES if any(case.category == name for case in data.cases)],
        groups=_groups(data),
        wall=_script({"models": names, "base": data.base, "cases": [_case(case, names) for case in data.cases]}),
        thumbs=[_script([_thumb(case, name) for case in data.cases]) for name in names],
        count=sum(len(case.tiles) for case in data.cases),
        facts=data.facts or {},
    )


def _thumb(case: Case, model: str) -> str:
    return case.tiles[model].thumb if model in case.tiles else ""


def _groups(data: CompareData) -> list[dict[str, Any]]:
    """Worst cases and flips: a heading and the places of the cases to show under it, by model and category."""
    found = []
    for model in data.models:
        for category in CATEGORIES:
            kinds = [("worst", worst(data, model, category, SHOWN))]
            if model != data.base:
                kinds += [(kind, flips(data, model, kind, category, SHOWN)) for kind in ("fixed", "broken")]
            for kind, places in kinds:
                if places:
                    found.append({"model": model, "category": category, "kind": kind, "places": places})
    return found


def _case(case: Case, names: Sequence[str]) -> dict[str, Any]:
    """A case for the page's script; short keys, as there may be thousands."""
    tiles: list[Mapping[str, Any] | None] = []
    for name in names:
        tile = case.tiles.get(name)
        if tile is None:
            tiles.append(None)
            continue
        known = {"v": verdict_word(tile.fails, tile.error), "r": tile.reason, "h": " ".join(tile.hidden)}
        tiles.append(known | ({} if tile.probability is None else {"p": round(tile.probability, 3)}))
    return {"i": case.prompt_id, "t": case.prompt, "c": case.category, "s": case.seed, "m": tiles}


def _script(value: object) -> Markup:
    """JSON that may stand inside a script element."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))
