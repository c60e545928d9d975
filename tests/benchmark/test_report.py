import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.benchmark.correction import Measured
from asap.benchmark.drift import PixelDrift
from asap.benchmark.evidence import evidence
from asap.benchmark.judge import CalibrationSet, calibrate
from asap.benchmark.report import (
    Case,
    Comparison,
    Curve,
    PairView,
    Point,
    compare_json,
    compare_markdown,
    compare_page,
)
from asap.benchmark.report.page import outlined, template_of
from asap.benchmark.report.tables import headline
from asap.benchmark.summary import Judged, summarize
from asap.core.records import ByteArray
from asap.core.vocabulary import CATEGORIES, PARTS

THUMBNAIL = "UklGRh4AAABXRUJQVlA4TBEAAAAvB8ABAAdQjyJXq/+BiOh/AAA="
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def image(seed: int) -> ByteArray:
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:64] / 64
    base = np.stack([np.sin(6 * x * draw.uniform(0.5, 1) + k + seed) * np.cos(5 * y + k) for k in range(3)], axis=-1)
    return np.asarray(127 + 100 * base, dtype=np.uint8)


def judged(share: float, seed: int) -> list[Judged]:
    """100 images; raters saw those of every second prompt and mostly agree with the judge."""
    draw, rows = np.random.default_rng(seed), []
    for index in range(100):
        fails: bool | None = bool(draw.random() < share) if index % 33 else None
        rows.append(
            Judged(
                prompt_id=f"{CATEGORIES[index % 5]}-{index // 10:03d}",
                seed=index % 10 // 5,
                prompt=f"a photo of person {index}",
                category=CATEGORIES[index % 5],
                fails=fails,
                probability=0.5 * float(draw.random()) + 0.5 * bool(fails),
                wanted_parts=("hand", "arm"),
                hidden_parts=("hand",) if index % 20 == 0 else (),
                wanted={"fingers": "two", "skin": "dark"},
                seen={"fingers": ("two", "three")[int(draw.random() < 0.2)], "skin": "dark"},
                rating=float(bool(fails) != (index % 11 == 0)) if index // 10 % 2 else None,
            )
        )
    return rows


def moved(rows: list[Judged], by: int, clean: ByteArray) -> PixelDrift:
    """Images that are ``by`` grey levels brighter than the base's."""
    drift, person = PixelDrift(clean, resamples=10), np.eye(8, dtype=np.float32)
    for index, row in enumerate(rows):
        brighter = np.clip(image(index).astype(int) + by, 0, 255).astype(np.uint8)
        drift.update(row.prompt_id, brighter, image(index), person, person)
    return drift


@pytest.fixture(scope="module")
def data() -> Comparison:
    draw = np.random.default_rng(0)
    n = 200
    kinds = ["null_pose" if i % 5 == 0 else "defect" for i in range(n)]
    calibration = calibrate(
        CalibrationSet(
            chosen=draw.normal(-1.5, 1, n).astype(np.float32),
            rejected=np.where([kind == "defect" for kind in kinds], draw.normal(1.5, 1, n), -1).astype(np.float32),
            kind=kinds,
            part=[PARTS[i % 7] for i in range(n)],
            operation=["none" if i % 5 == 0 else ("extra", "missing", "split")[i % 3] for i in range(n)],
            severity=[str(1 + i % 3) for i in range(n)],
            person=[f"p{i // 3}" for i in range(n)],
        ),
        threshold=0.0,
        held_out=("split",),
        fingerprint="abcdef0123456789",
        notes={},
    )
    rates = (Measured(right=90, n=100), Measured(right=180, n=200))
    clean = np.stack([image(1000 + i) for i in range(40)])
    rows = {"base": judged(0.45, 1), "sft": judged(0.44, 5), "dpo": judged(0.3, 6), "asap": judged(0.15, 7)}
    models = {
        name: summarize(found, rows["base"], rates, moved(found, 3 * max(0, place - 1), clean))
        for place, (name, found) in enumerate(rows.items())
    }
    for name, found in rows.items():
        models[name]["evidence"] = evidence(found, rows["base"], models[name])
    tables = {name: {row.outcome.key: row for row in found} for name, found in rows.items()}
    cases = [
        Case(
            prompt_id=row.prompt_id, prompt=f"<b>{row.prompt}</b>", category=row.category, seed=row.seed,
            verdicts={name: table[key] for name, table in tables.items()},
        )
        for key, row in sorted(tables["base"].items())
    ]  # fmt: skip
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 24:44] = 255
    pair = PairView(
        chosen=image(1), rejected=np.where(mask[..., None] > 0, image(2), image(1)), mask=mask,
        prompt="a <b>hand</b> holding up two fingers", label="hand: extra, severity 2",
    )  # fmt: skip
    steps = list(range(60))
    return Comparison(
        title="Anatomy before and after alignment",
        base="base",
        models=models,
        quality={},
        cases=cases,
        judge={
            "name": "learned", "fingerprint": "abcdef0123456789", "domain": "images of mini at 64 px",
            "in_domain": True, "images": "images of mini at 64 px",
        },
        ratings={"raters": ["ada", "bob"], "n": 40, "kappa": 0.83},
        preference={
            "asap": {"win": 32, "tie": 78, "lose": 10, "n": 120, "raters": ["ada", "bob"], "kappa": 0.7, "p": 0.001}
        },
        calibration=calibration,
        suite={"name": "haf-mini", "digest": "0123456789abcdef", "seeds": [0, 1], "prompts": 50},
        pairs=[pair] * 5,
        curves=[
            Curve(model=name, quantity=quantity, steps=steps, values=[1 / (1 + s * (i + 1) / 40) for s in steps])
            for i, name in enumerate(["sft", "dpo", "asap"])
            for quantity in ("loss", "delta")
        ],
        sweep={
            "dpo": [Point(label=str(s), drift=s / 3000, aer=0.45 - s / 1000, low=0.4 - s / 1000, high=0.5 - s / 1000)
                    for s in (50, 100, 200)],
            "asap": [Point(label="150", drift=0.02, aer=0.25, low=0.2, high=0.3)],
        },
        lineage=[("asap", "pairs", "0f" * 8, "vlm (screen)")],
        facts={"python": "3.11"},
    )  # fmt: skip


def page_of(data: Comparison) -> str:
    return "".join(compare_page(data, {name: [THUMBNAIL] * len(data.cases) for name in data.models}))


def test_page_is_self_contained_and_escapes_captions(data: Comparison) -> None:
    page = page_of(data)
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert "<b>" not in page
    assert "&lt;b&gt;hand" in page
    assert "\\u003cb>a photo of person" in page
    assert "url(http" not in page
    assert "#010203" not in page


def test_a_judge_that_gives_no_probability_is_shown_without_one(data: Comparison) -> None:
    first = data.cases[0]
    silent = {name: replace(row, probability=None) for name, row in first.verdicts.items()}
    assert '"p":' not in page_of(replace(data, cases=[replace(first, verdicts=silent)]))
    assert page_of(replace(data, cases=[first])).count('"p":') == len(data.models)


def test_a_model_without_an_image_leaves_its_place_empty(data: Comparison) -> None:
    first = data.cases[0]
    lacking = replace(first, verdicts={"base": first.verdicts["base"]})
    thumbnails = {name: ["" if name == "sft" else "x"] for name in data.models}
    page = "".join(compare_page(replace(data, cases=[lacking]), thumbnails))
    assert re.findall(r'id="thumbs-\d">([^<]*)<', page) == ['["x"]', '[""]', '["x"]', '["x"]']
    assert ",null,null,null]" in page


def test_a_cell_with_two_rates_shows_both_intervals() -> None:
    table: Any = template_of("macros.html.j2").module
    rates = "42.0 % [36.2, 48.0], n = 262 / 90.8 % [86.7, 93.8], n = 250"
    page = str(table.table(["Model", "Rates", "Votes"], [["base", rates, "24 / 75 / 0"]], "caption"))
    assert re.findall(r"([\d.]+ %) <span class=\"range\">([^<]*)</span>", page) == [
        ("42.0 %", "[36.2, 48.0], n = 262"),
        ("90.8 %", "[86.7, 93.8], n = 250"),
    ]
    assert ">24 / 75 / 0</td>" in page


def test_ids_are_unique(data: Comparison) -> None:
    ids = re.findall(r'\sid="([^"]*)"', page_of(data))
    assert len(ids) > 20
    assert len(ids) == len(set(ids))


def test_page_shows_verdicts_judge_and_every_model(data: Comparison) -> None:
    page = page_of(data)
    shown = ("not scored", "passes", "sensitivity", "specificity", "operation: split (held out)", "vlm (screen)")
    for text in (*shown, *data.models):
        assert text in page
    assert page.count("<svg") == page.count('role="img"') == 5
    assert page_of(unrated(data)).count("<svg") == 6, "no category has ten rated prompts, so its chart is the judge's"


def test_headline_names_the_best_its_source_and_whether_it_is_significant(data: Comparison) -> None:
    line = headline(data)
    assert line.startswith("asap: AER ")
    assert re.search(r"\(50 ratings\), base .* \(50 ratings and 96 verdicts\); change -", line)
    assert ", statistically significant." in line
    same = replace(data, models={name: data.models[name] for name in ("base", "sft")})
    assert ", not statistically significant." in headline(same)
    alone = headline(replace(data, models={"base": data.models["base"]}))
    assert alone.startswith("base: AER ")
    assert "change" not in alone


def unrated(data: Comparison, **changes: object) -> Comparison:
    """The same with no ratings, so that only the judge says anything."""
    rows = {name: [replace(case.verdicts[name], rating=None) for case in data.cases] for name in data.models}
    models = {name: {**row, **changes} for name, row in data.models.items()}
    models = {name: {**row, "evidence": evidence(rows[name], rows["base"], row)} for name, row in models.items()}
    return replace(data, models=models, ratings={"raters": [], "n": 0, "kappa": None}, preference={})


def test_without_ratings_a_calibrated_judge_gives_the_headline_and_another_none(data: Comparison) -> None:
    assert "96 verdicts, corrected for the judge's errors" in headline(unrated(data))
    none = {"value": None, "ci": None, "n": 96}
    elsewhere = {**data.judge, "domain": "edited renders at 64 px", "in_domain": False}
    line = headline(replace(unrated(data, aer_corrected=none), judge=elsewhere))
    assert line.startswith("No AER: the judge learned is calibrated on edited renders at 64 px, not on images of mini")
    assert "`asap bench rate RUN... --key KEY --sheets DIR`" in line
    text = compare_markdown(replace(unrated(data, aer_corrected=none), judge=elsewhere))
    assert "Judge alone (not calibrated on these images)" in text
    assert re.search(r"\| asap \| none \|  \| n/a \| \d\d\.\d % \[", text)


def test_the_table_of_rates_has_all_three_estimates_and_the_change(data: Comparison) -> None:
    text = compare_markdown(data)
    section = text[text.index("## Anatomy error rate") : text.index("## Preference of raters")]
    rows = {line.split("|")[1].strip(): line for line in section.splitlines() if line.startswith("| ")}
    assert list(rows)[2:] == ["base", "sft", "sft, change", "dpo", "dpo, change", "asap", "asap, change"]
    found = data.models["asap"]["evidence"]
    for name in ("rated", "judged", "combined"):
        assert f"{100 * found['aer'][name]['value']:.1f} % [" in rows["asap"]
        assert f"{100 * found['difference'][name]['value']:+.1f} points [" in rows["asap, change"]
    assert "| asap | 32 / 78 / 10 | 120 | ada, bob | 0.70 | 0.001 |" in text
    assert "kappa 0.83, n = 40" in page_of(data)


def test_markdown_and_json_hold_the_same_numbers(data: Comparison) -> None:
    value = json.loads(json.dumps(compare_json(data)))
    text = compare_markdown(data)
    aer = value["models"]["asap"]["aer"]["value"]
    assert f"{100 * aer:.1f} %" in text
    assert value["calibration"]["fingerprint"] == "abcdef0123456789"
    assert value["models"]["base"]["paired"]["difference"]["value"] == 0


def test_summary_counts_hidden_parts_and_drift(data: Comparison) -> None:
    row = data.models["asap"]
    assert row["not_visible"]["by_part"]["hand"]["value"] == pytest.approx(0.05)
    assert row["not_visible"]["n"] == 200
    assert row["unscored"] == 4
    assert data.models["base"]["drift"]["outside_change"]["value"] == 0
    assert row["drift"]["outside_change"]["value"] == pytest.approx(6 / 255, rel=0.05)
    assert row["drift"]["attributes"]["skin"]["value"] == 1
    assert 0.7 < row["drift"]["attributes"]["fingers"]["value"] < 0.9
    assert data.models["base"]["drift"]["frechet_change"]["value"] == 0


def test_outline_stays_inside_the_mask() -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[4:10, 4:10] = 255
    drawn = outlined(np.zeros((16, 16, 3), np.uint8), mask)
    changed = np.asarray(drawn.any(axis=-1))
    assert changed.sum() == 20
    assert not changed[mask == 0].any()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; install the package chromium to run this")
def test_page_opens_in_chromium(data: Comparison, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    probe = "<script>addEventListener('error', e => document.title = 'FAULT ' + e.message);</script>"
    check = (
        "<script>for (const pair of document.querySelectorAll('#pairs .flick')) pair.click();"
        "document.querySelector('.flick').click();"
        "const r = document.createElement('p'); r.id = 'probe';"
        "r.textContent = [document.images.length, [...document.images].every(i => i.complete && i.naturalWidth > 0),"
        "document.querySelectorAll('.flick.on').length, document.querySelectorAll('svg').length,"
        "document.documentElement.scrollWidth <= innerWidth, document.title].join('|');"
        "document.body.append(r);</script>"
    )
    html = page_of(data).replace("</head>", probe + "</head>").replace("</body>", check + "</body>")
    page.write_text(html)
    out = run_browser(["--dump-dom", page.as_uri()], tmp_path)
    found = re.search(r'id="probe">([^<]*)<', out)
    assert found is not None
    images, loaded, flicked, charts, fits, title = found.group(1).split("|")
    assert int(images) >= 15
    assert (loaded, flicked, charts, fits) == ("true", "4", "5", "true")
    assert title == data.title


def run_browser(arguments: list[str], folder: Path) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    command = [str(BROWSER), *flags, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
