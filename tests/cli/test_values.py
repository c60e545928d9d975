import argparse
from collections.abc import Callable

import pytest

from asap.cli import values


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (values.positive, "1", 1),
        (values.natural, "0", 0),
        (values.positive_real, "8e-6", 8e-6),
        (values.non_negative, "0", 0.0),
        (values.fraction, "1", 1.0),
        (values.setting, "guard=true", ("guard", True)),
        (values.setting, "anchor=0.5", ("anchor", 0.5)),
        (values.setting, "draws=2", ("draws", 2)),
        (values.setting, "scale=area", ("scale", "area")),
        (values.setting, "time_range=0.2, 1", ("time_range", (0.2, 1))),
    ],
)
def test_good_words(kind: Callable[[str], object], text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (values.positive, "0"),
        (values.positive, "2.5"),
        (values.natural, "-1"),
        (values.positive_real, "0"),
        (values.positive_real, "inf"),
        (values.non_negative, "nan"),
        (values.fraction, "1.1"),
        (values.fraction, "half"),
        (values.setting, "anchor"),
        (values.setting, "1x=2"),
    ],
)
def test_bad_words_say_what_came(kind: Callable[[str], object], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"want .*got '{text}'"):
        kind(text)
