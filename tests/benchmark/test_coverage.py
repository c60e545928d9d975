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


@pytest.mark.parametrize(("se", "sp", "truth"), [(0.55, 0.55, 0.05), (0.99, 0.75, 0.5), (0.99, 0.99, 0.9)])
def test_some_cells(coverage: ModuleType, se: float, sp: float, truth: float) -> None:
    # 400 runs: four standard errors are 0.044 of 0.95 and 0.022 of 0.05
    found = coverage.cell(coverage.Design(runs=400, prompts=100, calibration=200), se, sp, truth)
    assert 0.906 <= found.coverage <= 0.994
    assert 0.028 <= found.false_positives <= 0.072


@pytest.mark.slow
def test_the_whole_grid(coverage: ModuleType) -> None:
    cells = list(coverage.grid(coverage.Design(), quick=False))
    assert len(cells) == len(coverage.RATES) ** 2 * len(coverage.TRUTHS)
    hits, wolf = np.array([cell.coverage for cell in cells]), np.array([cell.false_positives for cell in cells])
    # measured: one cell of 80 outside 93 to 97 %, the judge of 0.55 and 0.55 at 0.05, which covers 97.3 %
    assert ((hits < 0.93) | (hits > 0.97)).sum() <= 4
    assert abs(hits.mean() - 0.95) < 0.01
    assert ((wolf < 0.04) | (wolf > 0.06)).sum() <= 4
    assert abs(wolf.mean() - 0.05) < 0.005
