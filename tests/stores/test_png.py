import io

import numpy as np
import pytest
from PIL import Image

from asap.core.errors import StoreError
from asap.stores.png import decode, encode


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (16, 9, 3), (1, 300, 3)])
def test_pillow_reads_what_we_write(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(encode(image))) as opened:
        opened.load()
        assert opened.mode == ("L" if len(shape) == 2 else "RGB")
        assert (np.asarray(opened) == image).all()
    assert (decode(encode(image)) == image).all()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)])
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="want uint8"):
        encode(image)


def test_broken_bytes_are_a_store_error() -> None:
    good = encode(np.zeros((8, 8), np.uint8))
    for bad in (b"", b"not an image", good[:20], good[:41]):
        with pytest.raises(StoreError, match="cannot be read"):
            decode(bad)
