"""Training configs: the shipped ones are right, wrong ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from surnn.cells import Cell
from surnn.errors import InvalidConfig
from surnn.spec import BlockSpec, Norm
from surnn.train.config import Config, read_config
from surnn.train.config_data import DataSet, MachineSet

CONFIGS = sorted((Path(__file__).parents[2] / "model" / "configs").glob("*.toml"))


def sets_of(config: Config) -> tuple[DataSet | MachineSet, ...]:
    """All but the one folder of `activity`."""
    tables = config.audio, config.keywords, config.machine
    return tuple(item for table in tables if table is not None for item in table.sets)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_configs_are_valid_and_tell_their_data(path: Path) -> None:
    config = read_config(path)
    assert config.model.name == path.stem
    assert config.data is None, "the data folder belongs on the command line"
    about = sets_of(config) or (config.sensor,)
    assert all(item is not None and item.licence and item.source for item in about)


def test_nothing_under_the_gpl_is_trained_on() -> None:
    for config in map(read_config, CONFIGS):
        for item in sets_of(config):
            assert item.role != "train" or "GPL" not in item.licence, item.folder


def test_what_is_learnt_from_chosen_by_and_reported_on_does_not_overlap() -> None:
    for config in map(read_config, CONFIGS):
        sets = config.audio.sets if config.audio else ()
        for a in sets:
            for b in sets:
                if a.role == b.role or a.folder != b.folder or a.kind != b.kind:
                    continue
                files = a.files and b.files and not set(a.files) & set(b.files)
                where = any(not set(v) & set(b.where.get(k, v)) for k, v in a.where.items())
                parts = a.part[1] <= b.part[0] or b.part[1] <= a.part[0]
                assert files or where or parts, f"{a.described()} and {b.described()}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch = 4", "batch = 4\nbacth = 5", r"tiny.toml: budget.bacth: unknown key"),
        ("batch = 4", "batch = 0", r"budget.batch: Input should be greater than 0"),
        ("hidden = 8", "hidden = 8, group = 3", r"model.layers.0.group: unknown key"),
        (
            "frequencies = 4",
            "frequencies = 4, group = 3",
            "expected a multiple of the switch group 3",
        ),
        ('task = "voice"', 'task = "activity"', "needs a table"),
        ('task = "voice"', 'task = "voice', "not TOML"),
        ('name = "tiny"', "", "model.name: Field required"),
    ],
)
def test_wrong_keys_are_named(voice_toml: Path, old: str, new: str, message: str) -> None:
    text = voice_toml.read_text()
    assert old in text
    voice_toml.write_text(text.replace(old, new))
    with pytest.raises(InvalidConfig, match=message):
        read_config(voice_toml)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"nothing.toml: no such file"):
        read_config(tmp_path / "nothing.toml")


def test_a_data_set_describes_itself(voice_toml: Path) -> None:
    config = read_config(voice_toml)
    assert config.audio is not None
    item = config.audio.sets[0].model_copy(update={"part": (0.0, 0.85), "files": ("a.flac",)})
    assert item.described() == {
        "folder": "voices",
        "source": "Made for this test",
        "kind": "speech",
        "role": "train",
        "licence": "CC0",
        "part": "a.flac; split: train; from 0% to 85% of the table",
    }


def test_a_config_may_name_any_cell_and_block(voice_toml: Path, voice_text: str) -> None:
    layers = ", ".join(
        f'{{ cell = "{cell}", hidden = 8, block = {{ norm = "rms" }} }}' for cell in Cell
    )
    old = "[{ hidden = 8, switch = { frequencies = 4 } }]"
    voice_toml.write_text(voice_text.replace(old, f"[{layers}]"))
    found = read_config(voice_toml).model.layers
    assert [layer.cell for layer in found] == list(Cell)
    assert all(layer.block == BlockSpec(norm=Norm.RMS) for layer in found)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('{ cell = "hopfield", hidden = 8 }', r"model.layers.0.cell: Input should be 'surnn', "),
        ('{ cell = "gru", hidden = 8, switch = {} }', "cell 'gru' has no switches"),
        ('{ hidden = 8, block = { norm = "batch" } }', "Input should be 'none', 'layer' or 'rms'"),
    ],
)
def test_layers_that_cannot_be(voice_toml: Path, voice_text: str, layer: str, message: str) -> None:
    old = "{ hidden = 8, switch = { frequencies = 4 } }"
    voice_toml.write_text(voice_text.replace(old, layer))
    with pytest.raises(InvalidConfig, match=message):
        read_config(voice_toml)


def test_tasks_with_labels_want_probabilities(voice_toml: Path, voice_text: str) -> None:
    voice_toml.write_text(voice_text.replace("[model]", '[model]\nhead = "linear"'))
    with pytest.raises(InvalidConfig, match="a linear head gives numbers, but task 'voice' has"):
        read_config(voice_toml)
