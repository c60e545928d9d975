"""The judge vlm against a server that answers well and badly."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from asap.benchmark.verdict import JudgeInput, Verdict
from asap.core.errors import ConfigError, InputError
from asap.workflows.evaluation.judges.kinds import JudgeContext
from asap.workflows.evaluation.judges.vlm import VlmJudge, VlmSettings

ROOT = Path(__file__).parents[4]


@contextmanager
def seer(log: Path, latency: float = 0.0) -> Iterator[str]:
    """The server; gives its address."""
    call = [sys.executable, str(ROOT / "tests/workflows/seer.py"), str(log), str(latency)]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    log = tmp_path_factory.mktemp("seer") / "log"
    with seer(log) as url:
        yield url, log


def picture(index: int, *, red: bool) -> JudgeInput:
    image = np.full((64, 48, 3), 40 + index % 100, np.uint8)
    image[0, :, 1] = index // 100
    if red:
        image[16:48, 12:36] = (220, 30, 30)
    return JudgeInput(key=(f"p{index}", 0), image=image, prompt="a hand", parts=("hand",))


@pytest.fixture
def judge(served: tuple[str, Path], tmp_path: Path) -> Callable[..., VlmJudge]:
    def make(model: str, **options: object) -> VlmJudge:
        quick = {"timeout": 5.0, "pause": 0.01, "landmarker": "", "tries": 4} | options
        settings = VlmSettings(url=served[0], model=model, **quick)  # type: ignore[arg-type]
        return VlmJudge(settings, JudgeContext(work=tmp_path))

    return make


def both(found: VlmJudge) -> list[Verdict]:
    """Of a broken hand and of a whole one."""
    return list(found.judge([picture(1, red=True), picture(2, red=False)]))


@pytest.mark.parametrize("model", ["good", "slow", "busy", "broken"])
def test_verdicts_are_right_however_the_answers_come(judge: Callable[..., VlmJudge], model: str) -> None:
    wrong, right = both(judge(model))
    assert (wrong.fails, wrong.probability, wrong.error) == (True, 1.0, False)
    assert wrong.reason == "hand: too_many_digits"
    assert wrong.details["votes"][0]["defects"][0] == {"too_many_digits": [100, 100, 300, 300]}
    assert (right.fails, right.probability, right.reason, right.not_visible) == (False, 0.0, "", ())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("dead", "status 500"),
        ("cut", "not JSON"),
        ("loose", "lacks or adds visible"),
        ("liar", "contradiction"),
        ("prose", "not JSON"),
        ("short", "RemoteProtocolError"),
    ],
)
def test_what_cannot_be_read_is_an_error_and_never_a_pass(
    judge: Callable[..., VlmJudge], model: str, said: str
) -> None:
    for verdict in both(judge(model, tries=2)):
        assert (verdict.fails, verdict.error) == (None, True)
        assert re.search(said, verdict.reason), verdict.reason
        assert verdict.details["votes"][0]["outcomes"] == ["error"] * 3


@pytest.mark.parametrize("model", ["hang", "drip"])
def test_a_call_ends_in_time(judge: Callable[..., VlmJudge], model: str) -> None:
    started = time.monotonic()
    verdict = next(judge(model, tries=2, timeout=0.4).judge([picture(1, red=True)]))
    assert (verdict.fails, verdict.error, verdict.reason) == (None, True, "hand: no reply in time")
    assert time.monotonic() - started < 20


def test_nothing_is_asked_twice(judge: Callable[..., VlmJudge], served: tuple[str, Path]) -> None:
    first, second = judge("good"), judge("good")
    said = both(first)
    assert first.calls == 2 * 3
    assert both(second) == said
    assert second.calls == 0
    other = judge("good", temperature=0.5)
    both(other)
    assert other.calls == 2 * 3, "other parameters are another question"


def test_equal_pictures_are_asked_about_once(judge: Callable[..., VlmJudge]) -> None:
    found = judge("good")
    assert len(list(found.judge([picture(1, red=True)] * 4))) == 4
    assert found.calls == 3


def test_unreadable_replies_are_kept_raw_and_failed_calls_are_tried_again(
    judge: Callable[..., VlmJudge], tmp_path: Path
) -> None:
    both(judge("prose"))
    assert (tmp_path / "replies" / "replies.jsonl").read_text().count("I swear") == 6
    again = judge("prose")
    both(again)
    assert again.calls == 0
    both(judge("dead", tries=1))
    dead = judge("dead", tries=1)
    both(dead)
    assert dead.calls == 6


def test_a_rate_limit_spaces_the_calls(judge: Callable[..., VlmJudge]) -> None:
    started = time.monotonic()
    both(judge("good", per_minute=600.0))
    assert time.monotonic() - started >= 0.5


def test_a_preference_that_turns_with_the_order_is_a_tie(judge: Callable[..., VlmJudge]) -> None:
    red, fine = picture(1, red=True), picture(2, red=False)
    fine = JudgeInput(**{**vars(fine), "key": red.key})
    outcomes = {}
    for model in ("good", "first", "dead"):
        found = judge(model, tries=1)
        outcomes[model] = [row.outcome for row in found.compare([(fine, red), (red, fine), (red, red)])]
    assert outcomes == {"good": ["win", "lose", "tie"], "first": ["tie"] * 3, "dead": ["error"] * 3}


def test_the_estimate_says_what_it_will_take(judge: Callable[..., VlmJudge]) -> None:
    found = judge("good", price_in=2.0, price_out=8.0)
    told = found.estimate([picture(index, red=False) for index in range(200)])
    assert told["calls"] == 600
    assert isinstance(told["price"], float)
    assert told["price"] > 600 * (1000 * 2.0 + 250 * 8.0) / 1e6
    assert judge("good").estimate([picture(1, red=False)])["price"] is None


def test_settings_that_make_no_judge_are_refused_together() -> None:
    with pytest.raises(ConfigError, match=r"votes must be at least 3.*temperature"):
        VlmSettings(url="http://localhost/v1", model="m", votes=2, temperature=0.0)


def test_an_address_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="want an address"):
        list(
            VlmJudge(VlmSettings(url="localhost:8000", model="m", landmarker=""), JudgeContext(work=tmp_path)).judge([])
        )


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.workflows.evaluation.judges.test_vlm import picture
from asap.workflows.evaluation.judges.kinds import JudgeContext
from asap.workflows.evaluation.judges.vlm import VlmJudge, VlmSettings
settings = VlmSettings(url={url!r}, model="good", landmarker="", concurrency=8)
judge = VlmJudge(settings, JudgeContext(work=Path({work!r})))
for verdict in judge.judge(picture(index, red=index % 2 == 0) for index in range(60)):
    print(verdict.fails, flush=True)
"""


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with seer(log, 0.05) as url:
        code = KILLED.format(root=str(ROOT), url=url, work=str(tmp_path))
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
        while not log.exists() or log.read_bytes().count(b"\n") < 40:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
        assert done.stdout.split() == [b"True", b"False"] * 30
        answered = log.read_bytes().split()
    assert len(set(answered)) == 180
    # only a reply that was on its way when the process died can have been asked for again
    assert len(answered) - 180 <= 8


@pytest.mark.slow
def test_many_calls_take_hardly_longer_than_the_server_needs() -> None:
    script = ROOT / "benchmarks" / "judges" / "throughput.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, check=True)
    found = json.loads(done.stdout)
    assert (found["calls"], found["right"]) == (6000, 2000)
    assert found["ratio"] <= 1.2, found
