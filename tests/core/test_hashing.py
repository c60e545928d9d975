from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from asap.core.errors import InputError
from asap.core.hashing import BLOCK, canonical_json, digest, digest_file, digest_json


def test_digest_of_a_known_text() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_digest_ignores_key_order_and_container_types() -> None:
    plain = {"a": [1, 2.5], "b": "x"}
    assert digest_json(plain) == digest_json({"b": "x", "a": (np.int64(1), np.float64(2.5))})
    assert digest_json(plain) != digest_json({"a": [1, 2.5], "b": "y"})
    assert canonical_json({"p": Path("q"), "s": {2, 1}, "n": np.zeros(2)}) == '{"n":[0.0,0.0],"p":"q","s":[1,2]}'


def test_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
    with pytest.raises(TypeError, match="no JSON form"):
        canonical_json(object())


def test_file_digest_over_several_blocks(tmp_path: Path) -> None:
    data = bytes(range(256)) * (BLOCK // 256 + 3)
    (tmp_path / "f").write_bytes(data)
    assert digest_file(tmp_path / "f") == sha256(data).hexdigest()
    with pytest.raises(InputError, match="cannot read"):
        digest_file(tmp_path / "absent")
