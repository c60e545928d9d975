"""The guides in docs/guides/extend work: their code, put where they say, runs in a copy of the program."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

GUIDES = ROOT / "docs" / "guides" / "extend"
NEW_FILE = re.compile(r'`((?:src|tests)/[\w/]+\.py)`:\n\n```python\n(""".*?)```', re.DOTALL)
CONFIG = re.compile(r"`(configs/\w+\.yaml)`:\n\n```yaml\n(.*?)```", re.DOTALL)
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program without its weights, which are links, and with the code of all guides."""
    root = tmp_path_factory.mktemp("guides")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    for weights in (ROOT / "src").rglob("weights"):
        (root / weights.relative_to(ROOT)).symlink_to(weights)
    shutil.copytree(ROOT / "tests", root / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", root / "configs")
    for guide in GUIDES.glob("*.md"):
        text = guide.read_text(encoding="utf-8")
        for path, code in [*NEW_FILE.findall(text), *CONFIG.findall(text)]:
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(code, encoding="utf-8")
    settings = "[pytest]\npythonpath = src .\naddopts = --import-mode=importlib\nmarkers = slow\n"
    (root / "pytest.ini").write_text(settings, encoding="utf-8")
    for edit in (degradation, objective, judge, producer, family):
        edit(root)
    return root


def blocks(guide: str) -> list[str]:
    """Code of a guide that is not a new file."""
    return BLOCK.findall(NEW_FILE.sub("", (GUIDES / guide).read_text(encoding="utf-8")))


def insert(path: Path, before: str, code: str) -> None:
    """Put ``code`` before the first line of ``path`` that starts with ``before``."""
    text = path.read_text(encoding="utf-8")
    place = text.index(f"\n{before}") + 1
    path.write_text(text[:place] + code + text[place:], encoding="utf-8")


def degradation(root: Path) -> None:
    mesh, mesh_line, photo, photo_line, skeleton, skeleton_line, words = blocks("degradation.md")
    folder = root / "src" / "asap" / "degrade"
    insert(root / "src/asap/core/vocabulary.py", "]\nOPERATIONS", '    "tapered",\n')
    insert(folder / "proportions.py", "def _thick_hand", f"{mesh}\n\n")
    insert(folder / "operation_table.py", "MeshOperation = ", "from asap.degrade.proportions import tapered\n\n")
    insert(folder / "operation_table.py", '        ("leg", "misshapen")', mesh_line)
    insert(folder / "photo" / "limbs.py", "def thickened", f"{photo}\n\n")
    insert(folder / "photo" / "operation_table.py", '        ("warp", "leg", "misshapen")', photo_line)
    insert(folder / "diffusion" / "skeleton_operations.py", "SKELETON_OPERATIONS: Final", f"{skeleton}\n\n")
    insert(folder / "diffusion" / "skeleton_operations.py", '        ("leg", "missing")', skeleton_line)
    insert(folder / "diffusion" / "prompts.py", '        "split": ', words)


def objective(root: Path) -> None:
    loss, entry, test = blocks("objective.md")
    insert(root / "src/asap/align/methods.py", "def _tau", f"{loss}\n\n")
    with (root / "src/asap/align/methods.py").open("a", encoding="utf-8") as file:
        file.write(entry)
    path = root / "tests/align/test_methods.py"
    text = path.read_text(encoding="utf-8")
    for table, line in (("SHAPES", '"robust_dpo": "robust",'), ("STARTS", '"robust": math.log(2),')):
        assert text.count(f"\n{table} = {{\n") == 1
        text = re.sub(rf"(\n{table} = {{\n(?:    .*\n)*)", rf"\1    {line}\n", text)
    path.write_text(f"{text}\n\n{test}", encoding="utf-8")


def judge(root: Path) -> None:
    (line,) = blocks("judge.md")
    path = root / "src/asap/workflows/evaluation/judges/registry.py"
    importing = "from asap.workflows.evaluation.judges.brightness import BrightnessJudge, BrightnessSettings\n"
    insert(path, "from asap.workflows.evaluation.judges.ensemble", importing)
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def producer(root: Path) -> None:
    (line,) = blocks("pair-producer.md")
    insert(root / "src/asap/cli/app.py", '        "pairs build inpaint"', line)


def family(root: Path) -> None:
    path = root / "src/asap/backbones/families.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("FAMILIES: Final = (\n", 'FAMILIES: Final = (\n    "auraflow",\n'), encoding="utf-8")


def run(root: Path, *words: str) -> str:
    """Output of a Python command in the copy."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_a_degradation_of_each_kind(copy: Path) -> None:
    found = run(copy, "-m", "pytest", "-q", "tests/degrade", "-k", "tapered or covers or tables", "-m", "not slow")
    assert int(re.findall(r"(\d+) passed", found)[0]) >= 20


def test_an_objective_and_a_judge(copy: Path) -> None:
    code = """
import numpy, math, torch
from pathlib import Path
from asap.align.methods import PairErrors, pair_losses, resolve_method
from asap.benchmark.verdict import JudgeInput
from asap.workflows.evaluation.judges.registry import judge_by_name
one = torch.ones(1)
names = ("policy_chosen", "reference_chosen", "policy_rejected", "reference_rejected", "mask_share")
method, settings = resolve_method("robust_dpo", {})
print(pair_losses(method, PairErrors(**dict.fromkeys(names, one)), settings).loss.item())
judge = judge_by_name("brightness", {"limit": 0.3}, work=Path("work"))
images = [JudgeInput(key=(str(v), 0), image=numpy.full((8, 8, 3), v, numpy.uint8)) for v in (10, 200)]
print([verdict.fails for verdict in judge.judge(images)])
"""
    loss, verdicts = run(copy, "-c", code).splitlines()
    assert float(loss) == pytest.approx(0.6931, abs=1e-4)
    assert verdicts == "[True, False]"
    judges = "tests/workflows/evaluation/judges/test_brightness.py"
    assert "4 passed" in run(copy, "-m", "pytest", "-q", judges)
    run(copy, "-m", "pytest", "-q", "tests/align/test_methods.py", "tests/cli/test_bench.py", "-m", "not slow")


def test_a_producer(copy: Path) -> None:
    run(copy, "-m", "asap.cli", "pairs", "build", "squares", "--count", "6", "--workers", "1", "--out", "squares")
    counts = json.loads(run(copy, "-m", "asap.cli", "pairs", "stats", "squares", "--json"))
    assert counts["accepted"] == 6
    assert "1 passed" in run(copy, "-m", "pytest", "-q", "tests/workflows/pairs/test_squares.py")
    assert "2 passed" in run(copy, "-m", "pytest", "-q", "tests/cli/test_app.py", "-k", "everyday or its_file")


def test_the_code_has_the_style_of_the_program(copy: Path) -> None:
    """All but the order of imports, which `make format` settles."""
    settings = ("--config", str(ROOT / "pyproject.toml"), "--ignore", "I001")
    run(copy, "-m", "ruff", "check", "--no-cache", *settings, "src", "tests")


@pytest.mark.slow
def test_the_code_has_its_types(copy: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", copy)
    run(copy, "-m", "mypy", "--cache-dir", os.devnull)


@pytest.mark.slow
def test_a_family(copy: Path) -> None:
    code = """
import torch
from pathlib import Path
from tests.backbones.tiny.auraflow import build
build(Path("auraflow"))
from asap.backbones import load
model = load("auraflow")
print(model.name, tuple(model.encode(torch.zeros(1, 3, 64, 32)).shape))
print(tuple(model.sample(["a hand"], [0], steps=2, height=32, width=64).shape))
"""
    encoded, sampled = run(copy, "-c", code).splitlines()[-2:]
    assert encoded == "auraflow (1, 4, 8, 4)"
    assert sampled == "(1, 32, 64, 3)"
    found = run(copy, "-m", "pytest", "-q", "tests/backbones/test_families.py", "-k", "auraflow")
    assert int(re.findall(r"(\d+) passed", found)[0]) >= 10
    tests = ("tests/workflows/training/test_config.py", "-k", "auraflow or one_file or first_comment")
    assert "3 passed" in run(copy, "-m", "pytest", "-q", *tests)
