from asap.core.vocabulary import OPERATIONS
from asap.review import COMMANDS, ERRORS, error_keys


def test_every_error_type_has_one_key_that_does_nothing_else() -> None:
    keys = error_keys()
    assert tuple(keys) == ERRORS == (*OPERATIONS, "not_visible", "looks_pasted", "leak", "natural")
    assert len(set(keys.values())) == len(keys)
    commands = {part.strip().lower() for shown in COMMANDS for part in shown.split(",")}
    assert not commands & set(keys.values())
    assert [keys[name] for name in OPERATIONS[:9]] == list("123456789")
    assert {name: keys[name] for name in ERRORS[-4:]} == {
        "not_visible": "v",
        "looks_pasted": "p",
        "leak": "l",
        "natural": "n",
    }


def test_a_longer_vocabulary_moves_no_key() -> None:
    longer = (*OPERATIONS, "melted", "mirrored", "not_visible", "looks_pasted", "leak", "natural")
    assert error_keys().items() <= error_keys(longer).items()
    assert len(set(error_keys(longer).values())) == len(longer)
