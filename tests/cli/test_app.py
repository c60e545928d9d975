import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from asap.cli import app, main
from asap.core.errors import AsapError, InputError, StoreError

ROOT = Path(__file__).parents[2]


def command_that_raises(error: BaseException) -> SimpleNamespace:
    def run() -> None:
        raise error

    return SimpleNamespace(run=run)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("no such\n folder"), 2, "asap: error: no such folder"),
        (StoreError("x is corrupt"), 2, "asap: error: x is corrupt"),
        (AsapError("we slipped"), 1, "asap: error: we slipped"),
        (ValueError("odd\nvalue"), 1, "asap: error: ValueError: odd value (an error in asap;"),
        (KeyboardInterrupt(), 130, "asap: stopped; run the same command again to continue"),
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
    monkeypatch.setattr(app, "parse", lambda _words: command_that_raises(error))
    assert main(["demo"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1


def test_the_traceback_is_there_on_demand(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ASAP_DEBUG", "1")
    monkeypatch.setattr(app, "parse", lambda _words: command_that_raises(ValueError("odd")))
    assert main(["demo"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "`asap` needs a command after it: demo, pairs, "),
        ("--seed 3", "`asap` needs a command after it"),
        ("trian", "unknown command 'trian', did you mean train?"),
        ("stats", "unknown command 'stats', did you mean `asap pairs stats`?"),
        ("pairs", "`asap pairs` needs a command after it: "),
        ("pairs stat x", "unknown command 'pairs stat', did you mean stats?"),
        ("pairs qqq --help", "unknown command 'pairs qqq'; known: "),
        ("pairs show x --out y --count 0", "--count must be at least 1, got 0"),
        (
            "judge train --pairs p --out o --lr nan --batch-size 0",
            "--batch-size must be at least 1, got 0; --lr must be",
        ),
        ("bench run --out o --set url=u --set model=m", "--set given twice; write all values after one"),
    ],
)
def test_wrong_words_end_with_2_and_one_line(words: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("asap: error: ")
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pairs stats", ["Missing from asap pairs stats", "PATH"]),
        ("demo --out o --devcie cpu", ["Unrecognized options: --devcie", "--device STR"]),
        ("pairs export p --out o --format koya", ["invalid choice 'koya'", "'kohya'"]),
        ("reproduce flux", ["invalid choice 'flux'", "'mini'"]),
        ("pairs show p --out o --count many", ["Error parsing --count", "many"]),
        ("judge run --judge vlm --generations g --out o --set url", ["Error parsing --set", "want NAME=VALUE"]),
    ],
)
def test_wrong_flags_end_with_2_and_name_the_flag(
    words: str, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    error = " ".join(capsys.readouterr().err.split())
    for text in expected:
        assert text in error


@pytest.mark.parametrize("name", ["", "pairs", "judge", *app.COMMANDS])
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(['asap', *name.split()])}")


def test_help_lists_every_command_below_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    main(["judge", "--help"])
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert {name for name in app.COMMANDS if any(line.startswith(f"{name} ") for line in shown)} == {
        name for name in app.COMMANDS if name.startswith("judge ")
    }


def test_the_everyday_commands_come_first() -> None:
    everyday = [name for title, group in app.GROUPS.items() if not title.startswith("More") for name in group]
    assert len(everyday) == 12
    assert everyday == list(app.COMMANDS)[:12]


def test_every_command_has_its_file_and_every_file_its_command() -> None:
    files = {path.stem for path in (ROOT / "src" / "asap" / "cli").glob("*.py")}
    others = {"__init__", "__main__", "app", "building", "options", "output", "sampling"}
    assert files - others == {name.replace(" ", "_").replace("-", "_") for name in app.COMMANDS}


def test_lists_and_settings_take_several_words() -> None:
    words = "judge calibrate --judge vlm --truth a b --set url=http://h/v1 votes=5 json=true rate=0.5 --out o"
    command = app.parse(words.split())
    assert vars(command)["truth"] == (Path("a"), Path("b"))
    assert vars(command)["set"] == {"url": "http://h/v1", "votes": 5, "json": True, "rate": 0.5}
    assert vars(app.parse("bench run --out o --lora none --set none".split()))["set"] == {}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("asap ")


def loaded_by(program: str) -> set[str]:
    """Top-level packages that a Python program imports."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    script = f"import sys\nsys.argv[0] = 'asap'\n{program}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", script]
    return set(subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.split())


def test_help_loads_nothing_heavy() -> None:
    assert not loaded_by("from asap.cli import main\nmain(['--help'])") & {"numpy", "torch", "tyro", "yaml", "rich"}
    every = "from asap.cli.app import COMMANDS, command_class\nfor name in COMMANDS: command_class(name)"
    found = loaded_by(every)
    assert "tyro" in found
    assert not found & {"torch", "diffusers", "transformers", "datasets", "anny", "warp", "pyarrow"}


def test_a_missing_store_ends_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "stats", str(tmp_path), "--json"]) == 2
    error = capsys.readouterr().err
    assert "is not a pair store" in error
    assert error.count("\n") == 1
