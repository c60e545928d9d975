"""The tables of a comparison, as headings and rows of text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from asap.benchmark.prediction_powered import MIN_RATED_PROMPTS
from asap.benchmark.report.data import Comparison
from asap.benchmark.report.flips import FLIPS, flip_counts
from asap.core.vocabulary import CATEGORIES, PARTS

__all__ = ["QUALITY", "Table", "headline", "judge_line", "null_edit_line", "number", "share", "tables", "unmeasured"]

Json = Mapping[str, Any]
Table = tuple[list[str], list[list[str]]]
"""Headings and rows."""
NONE: Final = "n/a"
BLANK: Final = "not measured on these images"
QUALITY: Final = {
    "hpsv3": "HPSv3", "hpsv2.1": "HPSv2.1", "pickscore": "PickScore", "imagereward": "ImageReward",
    "aesthetic": "Aesthetic", "clipscore": "CLIPScore", "fid": "FID", "kid": "KID",
}  # fmt: skip
"""Measures of preserved quality: those of the paper in its order, then the others."""
SOURCES: Final = {"rated": "ratings", "combined": "ratings and judge", "corrected": "judge, corrected"}
"""Where the headline is from, in words."""
PAPER: Final = 5
"""How many of ``QUALITY`` the paper's table has."""


def share(value: Json | None, digits: int = 1, *, sign: bool = False) -> str:
    """An estimate of a share as ``41.2 % [36.0, 46.5]``; a difference (``sign``) in points; n/a without a number."""
    if not value or value.get("value") is None:
        return NONE
    plus, unit = ("+", "points") if sign else ("", "%")
    text = f"{100 * value['value']:{plus}.{digits}f} {unit}"
    return text if not value.get("ci") else f"{text} [{_range(value['ci'], 100, digits, plus)}]"


def number(value: Json | None, digits: int = 2, *, sign: bool = False) -> str:
    """An estimate as ``1.17 [1.05, 1.31]``; n/a without a number."""
    if not value or value.get("value") is None:
        return NONE
    plus = "+" if sign else ""
    text = f"{value['value']:{plus}.{digits}f}"
    return text if not value.get("ci") else f"{text} [{_range(value['ci'], 1, digits, plus)}]"


def _range(ci: Sequence[float], scale: float, digits: int, plus: str) -> str:
    return ", ".join(f"{scale * bound:{plus}.{digits}f}" for bound in ci)


def _share_of(value: Json | None) -> str:
    """A share with its n."""
    return f"{share(value)}, n = {value['n']}" if value and value["value"] is not None else NONE


def tables(data: Comparison) -> list[tuple[str, str, Table]]:
    """Heading, caption and content of each table, in the order of the page."""
    paired = f"Of the judge alone, against {data.base} at equal prompts and seeds"
    found = [("Anatomy error rate", _evidence_caption(data), _evidence(data))]
    if data.preference:
        found.append(("Preference of raters", f"Images side by side, against {data.base}", _preference(data)))
    found += [
        (
            "Verdicts of the judge",
            "The paper's columns (arXiv:2605.25759, Table 1), with 95 % intervals and n",
            _paper(data),
        ),
        ("Details of the verdicts", paired, _details(data)),
        ("AER by prompt", "Each prompt counts once, however many images it has", _by_prompt(data)),
        ("AER by category", "Share of images that the judge fails", _by_category(data)),
        ("Parts not visible", "Share of the requested parts that the judge does not see", _hidden(data)),
        ("Drift", f"Changes besides anatomy, against {data.base} at equal prompts and seeds", _drift(data)),
    ]
    if any(data.agreement.values()):
        caption = "1 is perfect, 0 is chance; n counts what two or more answered"
        found.append(("Agreement", caption, _agreement(data)))
    if len(data.models) > 1:
        found.append(("Flips", f"Images by how the verdict differs from that on {data.base}", _flips(data)))
    if data.calibration:
        found.append(("Calibration of the judge", f"On {data.judge['domain']}", _calibration(data.calibration)))
    if data.lineage:
        head = ["Model", "Artefact", "Content hash", "Instruments"]
        found.append(("Lineage", "What the images were made from", (head, [list(row) for row in data.lineage])))
    return found


def _evidence_caption(data: Comparison) -> str:
    """Who rated, and what the columns are."""
    raters = data.ratings.get("raters")
    if not raters:
        return "No blind ratings; 95 % intervals clustered by prompt"
    agree = (
        f" (kappa {data.ratings['kappa']:.2f}, n = {data.ratings['n']})" if data.ratings["kappa"] is not None else ""
    )
    return (
        f"Share of images with wrong anatomy: blind ratings by {', '.join(raters)}{agree}, verdicts of "
        f"{data.judge['name']}, and both (prediction-powered inference); 95 % intervals clustered by prompt"
    )


def _evidence(data: Comparison) -> Table:
    """The rate of each model and its change to the base: from ratings alone, the judge alone, and both."""
    alone = "Judge alone" + ("" if data.judge["in_domain"] else " (not calibrated on these images)")
    head = ["Model", "AER", "From", "Ratings alone", alone, "Ratings and judge"]
    rows = []
    for model, row in data.models.items():
        found = row["evidence"]
        rows.append([model, *_estimates(found["aer"], sign=False)])
        if model != data.base:
            rows.append([f"{model}, change", *_estimates(found["difference"], sign=True)])
    return [*head, "Rated", "Judged", "Further ratings to halve the interval"], rows


def _estimates(found: Json, *, sign: bool) -> list[str]:
    """The headline's estimate and its source, then the three estimates, the counts, and the ratings still wanted."""
    cells = [share(found, sign=sign) if found["headline"] else "none", SOURCES.get(found["headline"], "")]
    cells += [share(found[name], sign=sign) for name in ("rated", "judged", "combined")]
    if not found["n_rated"]:
        wanted = ""
    elif found["ci"] is None:
        wanted = f"rate at least {MIN_RATED_PROMPTS} prompts"
    else:
        wanted = "more than there are images" if found["ratings_to_halve"] is None else str(found["ratings_to_halve"])
    return [*cells, str(found["n_rated"]), str(found["n_judged"]), wanted]


def _preference(data: Comparison) -> Table:
    rows = []
    for model, found in data.preference.items():
        kappa = NONE if found["kappa"] is None else f"{found['kappa']:.2f}"
        votes = f"{found['win']} / {found['tie']} / {found['lose']}"
        rows.append([model, votes, str(found["n"]), ", ".join(found["raters"]), kappa, f"{found['p']:.3g}"])
    return ["Model", "Win / tie / lose", "n", "Raters", "kappa", "p (sign test by prompt)"], rows


def _paper(data: Comparison) -> Table:
    """The paper's columns; the judge's error rates stand beside every AER."""
    names = list(QUALITY)[:PAPER]
    head = ["Model", "AER, judge alone", "Judge's sensitivity / specificity", "RSI", *(QUALITY[name] for name in names)]
    rows = []
    for model, row in data.models.items():
        relative = "1.00 (base)" if model == data.base else _strength(row["rsi"])
        rows.append([model, _aer(row), _judge_rates(row), relative, *(_quality(data, model, name) for name in names)])
    return head, rows


def _aer(row: Json) -> str:
    """The rate with its interval and n, or the reason why there is none."""
    if row["aer"]["value"] is None:
        return str(row["aer"].get("note") or "no image was scored")
    return f"{number(row['aer'], 3)}, n = {row['n']}"


def _judge_rates(row: Json) -> str:
    rates = [row["judge"][name] for name in ("sensitivity", "specificity")]
    return BLANK if any(rate["value"] is None for rate in rates) else " / ".join(map(_share_of, rates))


def _strength(rsi: Json) -> str:
    """RSI with its interval, or the reason why it is not defined."""
    return str(rsi["note"]) if rsi["value"] is None and rsi.get("note") else number(rsi)


def _quality(data: Comparison, model: str, name: str) -> str:
    found = data.quality.get(model, {}).get(name)
    return number(found, 3) if found and found.get("value") is not None else ""


def _details(data: Comparison) -> Table:
    more = list(QUALITY)[PAPER:]
    head = ["Model", "AER corrected", "Change against base", "Relative reduction"]
    head += ["p by prompt (McNemar / bootstrap)", "Win / tie / lose", "Win rate without ties", "Parts not visible"]
    head += ["Unscored", "Errors", *(QUALITY[name] for name in more)]
    rows = []
    for model, row in data.models.items():
        paired = row["paired"]
        against = [
            share(paired["difference"], sign=True),
            share(paired["relative_reduction"]),
            _p_values(paired),
            f"{row['win']} / {row['tie']} / {row['lose']}",
            share(row["rsi"]["win_rate"]),
        ]
        cells = [model, share(row["aer_corrected"]), *([""] * len(against) if model == data.base else against)]
        cells += [share(row["not_visible"]), str(row["unscored"]), str(row["errors"])]
        rows.append([*cells, *(_quality(data, model, name) for name in more)])
    return head, rows


def _p_values(paired: Json) -> str:
    found = [paired["mcnemar_p_clustered"], paired["bootstrap_p"]]
    return NONE if None in found else " / ".join(f"{p:.3g}" for p in found)


def _by_prompt(data: Comparison) -> Table:
    head = ["Model", "Mean over prompts", "Mean, corrected", "Prompts that ever fail", "Prompts that always fail"]
    rows = []
    for model, row in data.models.items():
        found = row["aer_by_prompt"]
        cells = [found["mean"], row["aer_corrected_by_prompt"], found["ever"], found["always"]]
        rows.append([model, *map(_share_of, cells)])
    return head, rows


def _by_category(data: Comparison) -> Table:
    names = [name for name in CATEGORIES if any(name in row["by_category"] for row in data.models.values())]
    rows = [[model, *(_cell(row["by_category"].get(name)) for name in names)] for model, row in data.models.items()]
    return ["Model", *(name.replace("_", " ") for name in names)], rows


def _hidden(data: Comparison) -> Table:
    names = [part for part in PARTS if any(part in row["not_visible"]["by_part"] for row in data.models.values())]
    rows = []
    for model, row in data.models.items():
        found = [row["not_visible"], *(row["not_visible"]["by_part"].get(name) for name in names)]
        rows.append([model, *map(_cell, found)])
    return ["Model", "all parts", *names], rows


def _cell(value: Json | None) -> str:
    """A share with its n, blank without a number."""
    return _share_of(value) if value and value["value"] is not None else ""


def _drift(data: Comparison) -> Table:
    names = sorted({name for row in data.models.values() for name in row["drift"]["attributes"]})
    head = ["Model", "Change outside people", "Change of the whole image", *(f"{name} as captioned" for name in names)]
    rows = []
    for model, row in data.models.items():
        drift, own = row["drift"], model == data.base
        cells = ["" if own else share(drift[name], 2) for name in ("outside_change", "whole_change")]
        rows.append([model, *cells, *(share(drift["attributes"].get(name)) for name in names)])
    return head, rows


def _agreement(data: Comparison) -> Table:
    """Krippendorff's alpha where several answered."""
    rows = []
    for model, found in data.agreement.items():
        for kind, one in found.items():
            alpha = number(one, 3) if one["value"] is not None else "undefined: all answers are equal or too few"
            rows.append([model, kind, ", ".join(one["by"]), alpha, str(one["n"])])
    return ["Model", "Among", "Who", "Krippendorff's alpha", "n"], rows


def _flips(data: Comparison) -> Table:
    rows = [
        [model, name.replace("_", " "), *(str(counts[kind]) for kind in FLIPS)]
        for model in data.models
        if model != data.base
        for name, counts in flip_counts(data, model).items()
    ]
    return ["Model", "Category", *(kind.replace("_", " ") for kind in FLIPS)], rows


def _calibration(calibration: Json) -> Table:
    blocks: list[tuple[str, Json]] = []
    if rated := calibration.get("rated"):
        blocks = [("rated images", rated)]
        blocks += [(f"rated images: {name.replace('_', ' ')}", block) for name, block in rated["by_category"].items()]
    if "all" in calibration:
        blocks += [
            ("operations seen in training", calibration),
            ("operations held out from training", calibration["held_out"]),
            ("all operations", calibration["all"]),
        ]
        blocks += [(f"part: {name}", block) for name, block in calibration["by_part"].items()]
        for name, block in calibration["by_operation"].items():
            blocks.append((f"operation: {name}" + (" (held out)" if block.get("held_out") else ""), block))
        blocks += [(f"severity {name}", block) for name, block in calibration["by_severity"].items()]
    rows = [
        [name, number(row["auroc"], 3), share(row["sensitivity"]), share(row["specificity"]), str(row["auroc"]["n"])]
        for name, row in blocks
    ]
    return ["Scope", "AUROC", "Sensitivity", "Specificity", "n"], rows


def unmeasured(data: Comparison) -> str:
    """The measures of quality that no model has, with the reason where one is known; their cells are blank."""
    taken = {name for found in data.quality.values() for name, row in found.items() if row.get("value") is not None}
    why = {name: row["note"] for found in data.quality.values() for name, row in found.items() if row.get("note")}
    blank = [f"{label} ({why[name]})" if name in why else label for name, label in QUALITY.items() if name not in taken]
    return f"Not measured, so left blank: {', '.join(blank)}." if blank else ""


def judge_line(data: Comparison) -> str:
    """The judge with the domain of its calibration, and the suite."""
    domain = "not calibrated" if data.calibration is None else f"calibrated on {data.judge['domain']}"
    return (
        f"Judge {data.judge['name']} ({str(data.judge['fingerprint'])[:12]}), {domain}; suite {data.suite['name']} "
        f"({str(data.suite['digest'])[:12]}), {data.suite['prompts']} prompts, seeds "
        f"{', '.join(map(str, data.suite['seeds']))}. Intervals are 95 %, clustered by prompt."
    )


def null_edit_line(calibration: Json) -> str:
    """Whether the judge fails null edits (a different, correct pose) more often than the images they were made from.

    Empty where it was not calibrated on pairs of known truth.
    """
    if "null" not in calibration:
        return ""
    null = calibration["null"]
    if null["null_failure_rate"]["value"] is None:
        return "Null edits were not measured."
    return (
        f"Null edits (a different, correct pose) fail in {share(null['null_failure_rate'])}, the images they were "
        f"made from in {share(null['clean_failure_rate'])}; difference {share(null['difference'], sign=True)}, "
        f"n = {null['difference']['n']}."
    )


def headline(data: Comparison) -> str:
    """One sentence: the lowest AER against the base's, with its source; or why there is none, and what to do.

    Only ratings, or a judge that is calibrated on images of this generator, give a headline.
    """
    rates = {name: row["evidence"]["aer"] for name, row in data.models.items() if row["evidence"]["aer"]["headline"]}
    if not rates and data.judge["in_domain"]:
        return "No AER: see the warnings."
    if not rates:
        known = f"is calibrated on {data.judge['domain']}, not on" if data.calibration else "is not calibrated on"
        return (
            f"No AER: the judge {data.judge['name']} {known} {data.judge['images']}. Rate some of them blind with "
            "`asap bench rate RUN... --key KEY --sheets DIR`, then compare again with --ratings."
        )
    others = [name for name in rates if name != data.base]
    best = min(others, key=lambda name: float(rates[name]["value"]), default=data.base)
    text = f"{best}: AER {share(rates[best])} ({_source(rates[best])})"
    if data.base not in rates or best == data.base:
        return f"{text}."
    text += f", {data.base} {share(rates[data.base])} ({_source(rates[data.base])})"
    change = data.models[best]["evidence"]["difference"]
    if change["headline"] is None or change["ci"] is None:
        return f"{text}."
    significant, more = change["ci"][1] < 0 or change["ci"][0] > 0, change["ratings_to_halve"]
    return (
        f"{text}; change {share(change, sign=True)} at equal prompts and seeds ({_source(change, 'pairs of ')}), "
        f"{'' if significant else 'not '}statistically significant."
        + (f" Rating both images at {more} further places would halve the interval of the change." if more else "")
    )


def _source(found: Json, pairs: str = "") -> str:
    """Where an estimate is from, with its counts; of a change these are pairs."""
    words = {
        "combined": f"{found['n_rated']} {pairs}ratings and {found['n_judged']} {pairs}verdicts",
        "rated": f"{found['n_rated']} {pairs}ratings",
        "corrected": f"{found['n_judged']} verdicts, corrected for the judge's errors",
    }
    return words[found["headline"]]
