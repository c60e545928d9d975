"""The corrected error rate's interval holds the truth as often as it says, and the paired test does not cry wolf."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "judges" / "coverage.py"


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("judges_coverage", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("se", "sp", "truth"), [(0.55, 0.55, 0.05), (0.65, 0.55, 0.9), (0.99, 0.75, 0.5)])
def test_some_cells(coverage: ModuleType, se: float, sp: float, truth: float) -> None:
    found = coverage.cell(coverage.Design(runs=4000, tests=1), se, sp, truth)
    # four standard errors of 4000 runs are 0.0138 each
    assert 0.95 - 0.0138 <= found.coverage <= 0.95 + 0.0138
    assert 0.05 - 0.0138 <= found.false_positives <= 0.05 + 0.0138


def test_it_tells_how_many_cells_chance_puts_outside(coverage: ModuleType) -> None:
    told = coverage.spoken("coverage", np.array([0.92, 0.95, 0.93, 0.97]), 1000)
    assert "0.9200 to 0.9700" in told
    assert "1 of 4 cells outside 0.93 to 0.97" in told
    draw = np.random.default_rng(0).binomial(1000, 0.95, 1_000_000)
    expected = 4 * float(((draw < 930) | (draw > 970)).mean())
    assert f"{expected:.1g} expected" in told or abs(float(told.split(", ")[-1].split()[0]) - expected) < 0.002


@pytest.mark.slow
def test_the_whole_grid(coverage: ModuleType) -> None:
    cells = list(coverage.grid(coverage.Design()))
    assert len(cells) == len(coverage.RATES) ** 2 * len(coverage.TRUTHS) == 216
    hits, wolf = np.array([cell.coverage for cell in cells]), np.array([cell.false_positives for cell in cells])
    # chance alone puts 0.7 of 216 exact cells outside 93 to 97 %, and more than four in one of 800 trials
    assert ((hits < 0.93) | (hits > 0.97)).sum() <= 4
    assert abs(hits.mean() - 0.95) < 0.003
    assert ((wolf < 0.04) | (wolf > 0.06)).sum() == 0
    assert abs(wolf.mean() - 0.05) < 0.003
