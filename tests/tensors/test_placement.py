import pytest
import torch

from asap.tensors.placement import SHARE, place_table, take_rows


def test_a_table_lies_on_the_device_and_its_rows_come_from_there() -> None:
    table = torch.arange(12).reshape(4, 3)
    assert place_table(table, "cpu") is table
    assert take_rows(table, torch.tensor([2, 0]), "cpu").tolist() == [[6, 7, 8], [0, 1, 2]]
    far = place_table(table, "meta")
    assert far.device.type == "meta"
    assert take_rows(far, torch.tensor([2, 0]), "meta").shape == (2, 3)


def test_a_table_too_large_for_a_gpu_stays_and_its_rows_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.zeros(10, 25)  # 1000 bytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(1000 / SHARE) - 10, 10**9))
    assert place_table(table, "cuda") is table
    assert take_rows(table, torch.tensor([1]), "meta").device.type == "meta"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(1000 / SHARE) + 10, 10**9))
    moved = []
    monkeypatch.setattr(torch.Tensor, "to", lambda _, device: moved.append(device))
    place_table(table, "cuda:1")
    assert moved == [torch.device("cuda:1")]
