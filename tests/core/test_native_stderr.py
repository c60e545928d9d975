import os

import pytest

from asap.core.native_stderr import silence_native_stderr


def test_only_what_is_written_inside_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before ")
    with silence_native_stderr():
        os.write(2, b"native ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_the_stream_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), silence_native_stderr():
        raise ValueError("inside")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
