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
from asap.benchmark.judge import CalibrationSet, calibrate
from asap.benchmark.report import (
    Curve,
    Example,
    PairView,
    Point,
    ReportData,
    Shown,
    html_page,
    json_report,
    markdown_page,
)
from asap.benchmark.report.page import environment_of, headline, outlined
from asap.benchmark.summary import Judged, summarize
from asap.core.vocabulary import CATEGORIES, PARTS

Picture = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def picture(seed: int) -> Picture:
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:64] / 64
    base = np.stack([np.sin(6 * x * draw.uniform(0.5, 1) + k + seed) * np.cos(5 * y + k) for k in range(3)], axis=-1)
    return np.asarray(127 + 100 * base, dtype=np.uint8)


def judged(share: float, move: int, seed: int) -> list[Judged]:
    draw, rows = np.random.default_rng(seed), []
    for index in range(100):
        fails: bool | None = bool(draw.random() < share) if index % 33 else None
        rows.append(
            Judged(
                prompt_id=f"{CATEGORIES[index % 5]}-{index // 10:03d}",
                seed=index % 10 // 5,
                prompt=f"a photo of person {index}",
                category=CATEGORIES[index % 5],
                image=np.clip(picture(index).astype(int) + move, 0, 255).astype(np.uint8),
                fails=fails,
                probability=float(draw.random()),
                wanted_parts=("hand", "arm"),
                hidden_parts=("hand",) if index % 20 == 0 else (),
                wanted={"fingers": "two", "skin": "dark"},
                seen={"fingers": ("two", "three")[int(draw.random() < 0.2)], "skin": "dark"},
                person=np.eye(8, dtype=np.float32),
            )
        )
    return rows


@pytest.fixture(scope="module")
def data() -> ReportData:
    draw = np.random.default_rng(0)
    n = 200
    kinds = ["null_pose" if i % 5 == 0 else "defect" for i in range(n)]
    found = calibrate(
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
    base = judged(0.45, 0, 1)
    rates = (Measured(right=90, n=100), Measured(right=180, n=200))
    clean = np.stack([picture(1000 + i) for i in range(40)])
    models = {"base": summarize(base, base, rates, reference=clean, draws=10)}
    for place, (name, share) in enumerate({"sft": 0.44, "dpo": 0.3, "asap": 0.25}.items()):
        models[name] = summarize(judged(share, 3 * place, 5 + place), base, rates, reference=clean, draws=10)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 24:44] = 255
    pair = PairView(
        chosen=picture(1), rejected=np.where(mask[..., None] > 0, picture(2), picture(1)), mask=mask,
        prompt="a <b>hand</b> holding up two fingers", label="hand: extra, severity 2",
    )  # fmt: skip
    names = list(models)
    shown = {name: Shown(image=picture(i), fails=(True, False, None, False)[i], probability=0.2 * i + 0.1)
             for i, name in enumerate(names)}  # fmt: skip
    steps = list(range(60))
    return ReportData(
        title="Anatomy before and after alignment",
        base="base",
        models=models,
        calibration=found,
        pairs=[pair] * 5,
        curves=[
            Curve(method=name, quantity=quantity, steps=steps, values=[1 / (1 + s * (i + 1) / 40) for s in steps])
            for i, name in enumerate(names[1:])
            for quantity in ("loss", "delta")
        ],
        examples=[
            Example(prompt="a dark hand holding up two fingers", category="basic_anatomy", seed=0, shown=shown)
        ]
        * 4,
        sweep={
            "dpo": [Point(label=str(s), drift=s / 3000, aer=0.45 - s / 1000, low=0.4 - s / 1000, high=0.5 - s / 1000)
                    for s in (50, 100, 200)],
            "asap": [Point(label="150", drift=0.02, aer=0.25, low=0.2, high=0.3)],
        },
        facts={"python": "3.11"},
    )  # fmt: skip


def test_page_is_self_contained_and_escapes_captions(data: ReportData) -> None:
    page = html_page(data)
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert "<b>hand</b>" not in page
    assert "&lt;b&gt;hand" in page
    assert "url(http" not in page
    assert "#010203" not in page


def test_a_judge_that_gives_no_probability_is_shown_without_one(data: ReportData) -> None:
    first = data.examples[0]
    silent = {name: replace(shown, probability=None) for name, shown in first.shown.items()}
    page = html_page(replace(data, examples=[replace(first, shown=silent)]))
    assert "nan %" not in page
    assert not re.search(r"</span> \d+ %", page)
    assert re.search(r"</span> 10 %", html_page(data))


def test_a_cell_with_two_rates_shows_both_intervals() -> None:
    table: Any = environment_of("macros.html.j2").module
    rates = "42.0 % [36.2, 48.0], n = 262 / 90.8 % [86.7, 93.8], n = 250"
    page = str(table.table(["Model", "Rates", "Votes"], [["base", rates, "24 / 75 / 0"]], "caption"))
    assert re.findall(r"([\d.]+ %) <span class=\"range\">([^<]*)</span>", page) == [
        ("42.0 %", "[36.2, 48.0], n = 262"),
        ("90.8 %", "[86.7, 93.8], n = 250"),
    ]
    assert ">24 / 75 / 0</td>" in page


def test_ids_are_unique(data: ReportData) -> None:
    ids = re.findall(r'\sid="([^"]*)"', html_page(data))
    assert len(ids) > 20
    assert len(ids) == len(set(ids))


def test_page_shows_verdicts_judge_and_every_model(data: ReportData) -> None:
    page = html_page(data)
    for text in ("not scored", "passes", "sensitivity", "specificity", "split (never taught)", *data.models):
        assert text in page
    assert page.count("<svg") == 5
    assert page.count('role="img"') == 5


def test_headline_names_the_best_and_whether_it_is_clear(data: ReportData) -> None:
    line = headline(data)
    assert line.startswith("asap ")
    assert "excludes zero" in line


def test_markdown_and_json_hold_the_same_numbers(data: ReportData) -> None:
    value = json.loads(json.dumps(json_report(data)))
    text = markdown_page(data)
    aer = value["models"]["asap"]["aer"]["value"]
    assert f"{100 * aer:.1f} %" in text
    assert value["calibration"]["fingerprint"] == "abcdef0123456789"
    assert value["models"]["base"]["paired"]["difference"]["value"] == 0


def test_summary_counts_hidden_parts_and_drift(data: ReportData) -> None:
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
def test_page_opens_in_chromium(data: ReportData, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    probe = "<script>addEventListener('error', e => document.title = 'FAULT ' + e.message);</script>"
    check = (
        "<script>document.querySelector('[data-flicker=pairs]').click();"
        "document.querySelector('.flick').click();"
        "const r = document.createElement('p'); r.id = 'probe';"
        "r.textContent = [document.images.length, [...document.images].every(i => i.complete && i.naturalWidth > 0),"
        "document.querySelectorAll('.flick.on').length, document.querySelectorAll('svg').length,"
        "document.documentElement.scrollWidth <= innerWidth, document.title].join('|');"
        "document.body.append(r);</script>"
    )
    html = html_page(data).replace("</head>", probe + "</head>").replace("</body>", check + "</body>")
    page.write_text(html)
    out = run_browser(["--dump-dom", page.as_uri()], tmp_path)
    found = re.search(r'id="probe">([^<]*)<', out)
    assert found is not None
    images, loaded, flicked, charts, fits, title = found.group(1).split("|")
    assert int(images) > 20
    assert (loaded, flicked, charts, fits) == ("true", "1", "5", "true")
    assert title == data.title


def run_browser(arguments: list[str], folder: Path) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    command = [str(BROWSER), *flags, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
