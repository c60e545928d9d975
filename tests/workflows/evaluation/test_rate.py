"""The blind page in a browser, from the command to the verdicts."""

from pathlib import Path

import numpy as np
import pytest

from asap.benchmark.verdict import JudgeInput
from asap.core.errors import InputError
from asap.core.manifest import Manifest
from asap.stores.generations import GenerationWriter
from asap.stores.ratings import RatingJournal
from asap.workflows.evaluation.judges.human import HumanJudge, HumanSettings
from asap.workflows.evaluation.judges.kinds import JudgeContext
from asap.workflows.evaluation.rate import agreement_of_raters
from tests.review.browser import needs_browser, opened
from tests.workflows.pages import served


def image(index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(index).integers(0, 255, (24, 16, 3), dtype=np.uint8)


@pytest.fixture
def generations(tmp_path: Path) -> Path:
    with GenerationWriter(tmp_path / "pictures", {"model": "m"}) as writer:
        for index in range(3):
            writer.add(f"p{index}", 0, image(index), prompt="secret prompt", category="full_body")
        writer.finish(Manifest(kind="generations"))
    return tmp_path / "pictures"


def test_raters_become_verdicts_and_agreement(generations: Path, tmp_path: Path) -> None:
    from asap.stores.generations import GenerationStore

    rows = GenerationStore.open(generations).rows
    for rater, answers in {"ada": "wwr", "bob": "wrr", "cy": "wwc"}.items():
        with RatingJournal(tmp_path / "ratings", rater) as journal:
            for row, letter in zip(rows, answers, strict=True):
                answer = {"w": "wrong", "r": "right", "c": "cannot_tell"}[letter]
                journal.append({"digest": row.digest, "answer": answer, "parts": [], "seconds": 1, "time": ""})
    judge = HumanJudge(HumanSettings(ratings=str(tmp_path / "ratings"), least=3), JudgeContext(work=tmp_path))
    pictures = [JudgeInput(key=(f"p{index}", 0), image=image(index)) for index in (0, 1, 2, 9)]
    found = list(judge.judge(pictures))
    assert [verdict.fails for verdict in found] == [True, True, False, None]
    assert found[3].reason == "0 of 3 raters have seen it"
    alpha = agreement_of_raters(tmp_path / "ratings")
    assert alpha.n == 3
    assert alpha.value is not None
    with pytest.raises(InputError, match="rater's name"):
        RatingJournal(tmp_path / "ratings", "../x")


@pytest.mark.slow
@needs_browser
def test_the_page_rates_by_keys(generations: Path, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.expected_conditions import text_to_be_present_in_element
    from selenium.webdriver.support.ui import WebDriverWait

    words = ["judge", "rate", "--generations", str(generations), "--ratings", str(tmp_path / "r"), "--rater", "ada"]
    with served(*words) as address, opened(tmp_path / "profile") as browser:
        browser.get(address)
        wait = WebDriverWait(browser, 60)
        wait.until(text_to_be_present_in_element((By.ID, "counts"), "0 of 3"))
        assert "secret" not in browser.page_source
        body = browser.find_element(By.TAG_NAME, "body")
        for keys, told in (("1w", "1 of 3"), ("r", "2 of 3"), ("c", "3 of 3")):
            body.send_keys(keys)
            wait.until(text_to_be_present_in_element((By.ID, "counts"), told))
        browser.save_screenshot(str(tmp_path / "page.png"))
        entries = browser.get_log("browser")  # type: ignore[no-untyped-call]
        assert not [line for line in entries if line["level"] == "SEVERE"]
    with RatingJournal(tmp_path / "r", "ada") as journal:
        assert sorted(row["answer"] for row in journal.standing().values()) == ["cannot_tell", "right", "wrong"]
        assert next(row for row in journal.standing().values() if row["answer"] == "wrong")["parts"] == ["hand"]
