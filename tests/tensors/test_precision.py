import pytest
import torch

from asap.tensors import precision as module
from asap.tensors.precision import precision


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_only_where_the_processor_has_it(
    native: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "native_bf16", lambda: native)
    with precision():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with precision(not native):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype != dtype
