import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from asap.core import errors

ONE_OF_EACH = (
    errors.AsapError("our fault"),
    errors.InputError("count must be positive, got 0"),
    errors.ConfigError.collect(["a is 1", "b is 2"]),
    errors.UnknownNameError("method", "ppo", ["dpo", "asap"]),
    errors.MissingDependencyError("rtmlib", "the pose judge"),
    errors.PhotoError("truncated", "a.jpg breaks off"),
    errors.BrokenImageError("sd returned an image with values that are not finite"),
    errors.StoreError("no store at a"),
    errors.TrainingError("the loss is not a number"),
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.AsapError, 1),
        (errors.InputError, 2),
        (errors.ConfigError, 2),
        (errors.StoreError, 2),
        (errors.TrainingError, 2),
        (errors.UnknownNameError, 2),
        (errors.MissingDependencyError, 2),
    ],
)
def test_exit_codes(kind: type[errors.AsapError], code: int) -> None:
    assert kind.exit_code == code
    assert issubclass(kind, errors.AsapError)


def test_every_error_of_the_tree_is_exported() -> None:
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == set(errors.__all__)


def test_unknown_name_lists_the_known_ones_sorted() -> None:
    assert str(errors.UnknownNameError("method", "ppo", ["dpo", "asap"])) == "unknown method 'ppo'; known: asap, dpo"
    assert str(errors.UnknownNameError("method", "ppo", [])).endswith("known: none")


def test_missing_dependency_gives_the_pip_line() -> None:
    assert str(errors.MissingDependencyError("rtmlib", "the pose judge")).endswith("run: pip install rtmlib")


def test_line_folds_a_message_into_one_line() -> None:
    assert errors.ConfigError.collect(["a is\n 1", "b is 2"]).line == "a is 1; b is 2"


def raise_it(number: int) -> None:
    raise ONE_OF_EACH[number]


def test_every_error_survives_pickling() -> None:
    assert {type(error).__name__ for error in ONE_OF_EACH} == set(errors.__all__)
    for error in ONE_OF_EACH:
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), copy.args, vars(copy), copy.line) == (type(error), error.args, vars(error), error.line)


def test_every_error_crosses_from_a_worker_unchanged() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        for number, error in enumerate(ONE_OF_EACH):
            fault = pool.submit(raise_it, number).exception()
            assert type(fault) is type(error)
            assert isinstance(fault, errors.AsapError)
            assert (fault.line, fault.exit_code) == (error.line, error.exit_code)
