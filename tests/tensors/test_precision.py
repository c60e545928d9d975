import pytest
import torch

from asap.tensors import precision as module
from asap.tensors.precision import native_bf16, precision


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_only_where_the_processor_has_it(
    native: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "native_bf16", lambda _: native)
    with precision():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with precision(not native):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype != dtype


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_is_asked_whether_it_multiplies_bfloat16_itself(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def supported(*, including_emulation: bool) -> bool:
        asked.append(including_emulation)
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert native_bf16("cuda:1") == native
    assert asked == [False]
    assert not native_bf16("meta")
    asked.clear()
    native_bf16()
    assert not asked
