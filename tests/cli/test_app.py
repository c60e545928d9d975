import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from asap.cli import app, main
from asap.cli.pairs import MORE
from asap.core.errors import AsapError, InputError, StoreError

ROOT = Path(__file__).parents[2]


def verb_that_raises(error: BaseException) -> SimpleNamespace:
    def run(_arguments: argparse.Namespace) -> None:
        raise error

    return SimpleNamespace(configure=lambda parser: parser.set_defaults(run=run))


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("no such\n folder"), 2, "asap: error: no such folder"),
        (StoreError("x is corrupt"), 2, "asap: error: x is corrupt"),
        (AsapError("we slipped"), 1, "asap: error: we slipped"),
        (ValueError("odd\nvalue"), 1, "asap: error: ValueError: odd value (a fault of ours;"),
        (KeyboardInterrupt(), 130, "asap: stopped; run the same command again to go on"),
    ],
)
def test_every_ending_is_one_line_and_a_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ASAP_DEBUG", raising=False)
    monkeypatch.setattr(app, "import_module", lambda _name: verb_that_raises(error))
    assert main(["demo"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1


def test_the_traceback_is_there_on_demand(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ASAP_DEBUG", "1")
    monkeypatch.setattr(app, "import_module", lambda _name: verb_that_raises(ValueError("odd")))
    assert main(["demo"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "required"),
        (["paint"], "invalid choice: 'paint'"),
        (["pairs"], "required"),
        (["pairs", "build"], "required: --out"),
        (["pairs", "build", "--out", "x"], "add --count N"),
        (["pairs", "build", "--out", "x", "--source", "dreams", "--count", "1"], "--count belong to rendered people"),
        (["pairs", "build", "--out", "x", "--count", "1", "--degrade", "warp"], "--degrade belong to photographs"),
        (["pairs", "build", "--count", "0", "--out", "x"], "at least 1, got '0'"),
        (["pairs", "build", "--out", "x", "--source", "dreams"], "wanted a folder of photographs, dreams is none"),
        (["pairs", "stats"], "required"),
        (["train", "--pairs", "x", "--out", "y", "--lr", "nan"], "above 0, got 'nan'"),
        (["train", "--pairs", "x", "--out", "y", "--set", "anchor"], "want NAME=VALUE"),
        (["reproduce", "flux"], "invalid choice: 'flux'"),
    ],
)
def test_wrong_words_end_with_2_and_one_line(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("asap: error: ")
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [[], *([verb] for verb in app.VERBS)])
def test_help_of_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(['asap', *words])}")


def test_every_verb_has_its_file_and_every_file_its_verb() -> None:
    files = {path.stem for path in (ROOT / "src" / "asap" / "cli").glob("*.py")}
    further = {f"pairs_{name}" for name in MORE}
    assert files - {"__init__", "__main__", "app", "values", "output"} == set(app.VERBS) | further


@pytest.mark.parametrize("name", MORE)
def test_help_of_every_further_sub_verb_of_pairs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: asap pairs {name}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("asap ")


def run_asap(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-X", "importtime", "-m", "asap.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_help_loads_nothing_heavy() -> None:
    started = time.perf_counter()
    result = run_asap("train", "--help")
    assert result.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "asap" in loaded
    assert not loaded & {"numpy", "torch", "pyarrow", "datasets", "diffusers", "scipy", "rich"}
    assert time.perf_counter() - started < 10


def test_a_missing_store_ends_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "stats", str(tmp_path), "--json"]) == 2
    error = capsys.readouterr().err
    assert "is no pair store" in error
    assert error.count("\n") == 1


def test_a_report_wants_one_run_for_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", "--base", "b", "--aligned", "x/a", "y/c", "--runs", "r", "--out", "o"]
    assert main(words) == 2
    assert "one folder for each" in capsys.readouterr().err
