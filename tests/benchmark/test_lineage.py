import pytest

from asap.benchmark.lineage import refuse_own_examiner
from asap.core.errors import InputError
from asap.core.manifest import Instrument, Manifest, Parent


def test_a_judge_that_picked_the_pairs_is_refused() -> None:
    pairs = Manifest(kind="pairs", instruments=(Instrument("pair_gate", "learned", "abc"),))
    with pytest.raises(InputError, match="worthless"):
        refuse_own_examiner("abc", [Manifest(kind="generations"), pairs])


def test_a_judge_that_screened_the_pairs_is_refused_by_fingerprint_and_by_name() -> None:
    pairs = Manifest(kind="pairs", instruments=(Instrument("screen", "some-vlm", "abc"),))
    with pytest.raises(InputError, match="also picked the training pairs"):
        refuse_own_examiner("abc", [pairs])
    with pytest.raises(InputError, match="also picked the training pairs"):
        refuse_own_examiner("another prompt", [pairs], name="some-vlm")
    refuse_own_examiner("another prompt", [pairs], name="another-vlm")
    seen = Manifest(kind="verdicts", instruments=(Instrument("judge", "some-vlm", "def"),))
    refuse_own_examiner("another prompt", [seen], name="some-vlm")


def test_other_gates_and_earlier_verdicts_do_no_harm() -> None:
    seen = Manifest(kind="verdicts", instruments=(Instrument("judge", "learned", "abc"),))
    other = Manifest(kind="pairs", instruments=(Instrument("pair_gate", "ssim", "def"),))
    refuse_own_examiner("abc", [seen, other])


def test_a_judge_that_learned_from_the_pairs_is_refused() -> None:
    trained = Manifest(kind="trained", parents=(Parent("pairs", "runs/pairs", "f00"),))
    with pytest.raises(InputError, match="was trained on the pairs"):
        refuse_own_examiner("abc", [Manifest(kind="generations"), trained], taught_on="f00")
    refuse_own_examiner("abc", [trained], taught_on="f01")
    refuse_own_examiner("abc", [trained])
