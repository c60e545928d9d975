"""The arrays that the rig takes from Anny, and their cache file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from asap.bodies import anny_data
from asap.bodies.anny_data import FEATURES, PHENOTYPES, AnnyData, load_anny_data


@pytest.fixture(scope="module")
def data() -> AnnyData:
    return load_anny_data()


def test_shape_coefficients_are_those_of_anny(data: AnnyData) -> None:
    """Also at the ends and at the anchors of every feature."""
    from anny import Anny

    model = Anny(rig="makehuman", skinning_method="lbs")
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.random((200, 6)), rng.choice([0.0, 1 / 3, 0.5, 2 / 3, 1.0], (100, 6))])
    people = [dict(zip(PHENOTYPES, map(float, row), strict=True)) for row in values]
    columns = {name: torch.tensor([person[name] for person in people]) for name in PHENOTYPES}
    wanted = model.get_phenotype_blendshape_coefficients(**columns).numpy()
    found = data.coefficients(people)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    assert data.anchor_counts.sum() + 3 == data.mask.shape[1]
    assert len(FEATURES) == len(data.anchor_counts)


def test_a_person_does_not_depend_on_those_beside(data: AnnyData) -> None:
    people = [dict.fromkeys(PHENOTYPES, value) for value in (0.1, 0.6, 0.9)]
    together = data.coefficients(people)
    assert all(np.array_equal(together[i : i + 1], data.coefficients([person])) for i, person in enumerate(people))


def test_the_cache_file_is_whole_or_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = load_anny_data()
    (file,) = tmp_path.rglob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    second = load_anny_data()
    assert np.array_equal(first.vertices_basis, second.vertices_basis)
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_made_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_anny_data().labels == anny_data.load_anny_data().labels


def test_a_process_that_renders_loads_no_torch(data: AnnyData) -> None:
    del data  # the cache file is there
    code = "import sys; from asap.workflows.pairs import scenes; scenes.subject(1, 'pairs', 0, 'varied', 64)"
    subprocess.run([sys.executable, "-c", code + "; assert not {'torch', 'anny'} & set(sys.modules)"], check=True)
