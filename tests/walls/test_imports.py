"""The import contracts hold, and each of them notices a breach: a wall that never falls may be painted on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]

BREACHES = [
    ("layers", "gates", "asap.benchmark"),
    ("layers", "benchmark", "asap.gates"),
    ("layers", "degrade", "asap.bodies"),
    ("layers", "align", "asap.generate"),
    ("layers", "stores", "asap.backbones"),
    ("layers", "tensors", "asap.stores"),
    ("layers", "core", "asap.tensors"),
    ("layers", "web", "asap.stores"),
    ("layers", "stores", "asap.web"),
    ("layers", "workflows", "asap.cli"),
    ("wings", "workflows.runtime", "asap.workflows.evaluation"),
    ("wings", "workflows.evaluation", "asap.workflows.pairs"),
    ("wings", "workflows.pairs", "asap.workflows.datasets"),
    ("wings", "workflows.datasets", "asap.workflows.pairs"),
    ("wings", "workflows.pairs", "asap.workflows.training"),
    ("wings", "workflows.training", "asap.workflows.results"),
    ("stores", "align", "asap.stores"),
    ("stores", "cli", "asap.stores.pairs"),
    ("core", "core", "torch"),
    ("core", "core", "starlette"),
    ("numpy", "gates", "torch"),
    ("families", "align", "asap.backbones.mini"),
    ("families", "generate", "asap.backbones.sd15.backbone"),
]


def lint(tree: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package under ``tree/src`` (not on the installed one)."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    command += [item for contract in contracts for item in ("--contract", contract)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources and of the contracts, without weights."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("weights", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    return tmp_path


def test_the_walls_stand() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_contract_has_a_twin_that_breaks_it() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {contract["id"] for contract in settings["tool"]["importlinter"]["contracts"]}
    assert contracts == {contract for contract, _, _ in BREACHES} | {"cycles"}


@pytest.mark.parametrize(("contract", "room", "imported"), BREACHES)
def test_a_breach_is_noticed(tree: Path, contract: str, room: str, imported: str) -> None:
    (tree / "src" / "asap" / room.replace(".", "/") / "breach.py").write_text(f"import {imported}\n")
    result = lint(tree, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"asap.{room}.breach -> {imported}" in result.stdout


@pytest.mark.parametrize("package", ["core", "regions", "workflows/evaluation"])
def test_an_import_cycle_is_noticed(tree: Path, package: str) -> None:
    folder, name = tree / "src" / "asap" / package, package.replace("/", ".")
    (folder / "breach.py").write_text(f"def late() -> None:\n    import asap.{name}.breach_too\n")
    (folder / "breach_too.py").write_text(f"import asap.{name}.breach\n")
    result = lint(tree, "cycles")
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"No cycles are allowed in asap.{name}." in result.stdout
