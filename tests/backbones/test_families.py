"""Every family folder stands the battery; the sweep is held against the folders on disk."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import asap.backbones
from asap.backbones.families import families
from asap.backbones.pipeline import PipelineBackbone
from tests.backbones import battery

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).parent / "tiny"
NAMES = sorted(path.stem for path in TINY.glob("[a-z]*.py"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Layers this small lose more by a second thread than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=NAMES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"tests.backbones.tiny.{request.param}")


@pytest.fixture(scope="module")
def folder(module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline on disk."""
    root = tmp_path_factory.mktemp("families") / module.__name__.rpartition(".")[2]
    module.build(root)
    return root


@pytest.fixture(scope="module")
def backbone(folder: Path) -> PipelineBackbone:
    """Loaded once; no test may change it."""
    return battery.open_tiny(folder)


def test_every_family_on_disk_is_tested() -> None:
    root = Path(asap.backbones.__file__).parent
    on_disk = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}
    assert set(NAMES) == on_disk == {family.name for family in families()}


def test_the_family_is_found_by_class_name(module: ModuleType, backbone: PipelineBackbone) -> None:
    name = module.__name__.rpartition(".")[2]
    assert type(backbone).__module__.startswith(f"asap.backbones.{name}.")


def test_denoise_is_the_pipelines(module: ModuleType, backbone: PipelineBackbone) -> None:
    battery.denoise_is_the_pipelines(backbone, module)


def test_encoding_is_the_autoencoders(module: ModuleType, backbone: PipelineBackbone) -> None:
    battery.encoding_is_the_autoencoders(backbone, module)


def test_decoding_is_the_pipelines(module: ModuleType, backbone: PipelineBackbone) -> None:
    battery.decoding_is_the_pipelines(backbone, module)


def test_pixel_masks_land_where_the_network_looks(module: ModuleType, backbone: PipelineBackbone) -> None:
    battery.pixel_masks_land_where_the_network_looks(backbone, module)


def test_targets_are_the_communitys(module: ModuleType, backbone: PipelineBackbone) -> None:
    battery.targets_are_the_communitys(backbone, module)


def test_padding_says_nothing(backbone: PipelineBackbone) -> None:
    battery.padding_says_nothing(backbone)


def test_bfloat16_says_the_same(module: ModuleType, backbone: PipelineBackbone, folder: Path) -> None:
    battery.bfloat16_says_the_same(backbone, folder, module)


def test_saved_pipeline_is_the_same(module: ModuleType, backbone: PipelineBackbone, tmp_path: Path) -> None:
    battery.saved_pipeline_is_the_same(backbone, module, tmp_path)


def test_pictures_depend_on_their_seed_alone(module: ModuleType, backbone: PipelineBackbone) -> None:
    battery.pictures_depend_on_their_seed_alone(backbone, module)


def test_one_step_lowers_the_loss_and_diffusers_takes_the_adapter(
    module: ModuleType, folder: Path, tmp_path: Path
) -> None:
    trained = battery.open_tiny(folder)
    battery.one_step_lowers_the_loss(trained, module)
    battery.checkpointing_keeps_the_gradient(trained)
    battery.saved_adapter_works_in_diffusers(trained, folder, module, tmp_path)


def test_the_documented_table_is_that_of_the_families() -> None:
    page = (ROOT / "docs" / "reference" / "families.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    told = {line.split("`")[1]: line for line in rows}
    assert set(told) == {family.name for family in families()}
    for family in families():
        row = told[family.name]
        assert all(f"`{name}`" in row for name in (*family.pipelines, *family.hubs)), row
