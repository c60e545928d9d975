from pathlib import Path

import pytest

from asap.cli.train import Command
from asap.workflows.training import run as training


@pytest.mark.parametrize("best", [None, 0, 40])
def test_best_step_is_printed_only_after_a_validation(
    best: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(training, "run", lambda *_: {"loss": None, "best_step": best})
    Command(model="mini", pairs=Path("pairs"), out=Path("out")).run()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["loss", "unknown"], *([] if best is None else [["best_step", str(best)]])]
