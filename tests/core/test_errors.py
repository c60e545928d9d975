import pytest

from asap.core import errors


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
