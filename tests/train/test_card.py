"""The model card says what the spec, the figures and the config say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surnn.errors import UnknownModel
from surnn.spec import ModelSpec
from surnn.train.card import rewrite_card
from surnn.train.config import read_config

FIGURES = {
    "main": {"frames": 1200, "accuracy": 0.94321, "auc": None, "open_rate": 0.2},
    "groups": [
        {"group": "voices", "snr_db": None, "auc": 0.99, "accuracy": 0.95},
        {"group": "voices", "snr_db": 5.0, "auc": None, "accuracy": 0.9},
    ],
    "training": {
        "steps": 6,
        "minutes": 0.1,
        "parameters": 1234,
        "clips": 24,
        "hours_of_audio": 0.01,
        "finished": "2020-01-01",
    },
}


@pytest.fixture
def folder(tmp_path: Path, voice_toml: Path) -> Path:
    model = read_config(voice_toml).model
    spec = ModelSpec(kind="audio", training={"seed": 5}, threshold=0.4, **dict(model), metrics={})
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    (tmp_path / "metrics.json").write_text(json.dumps(FIGURES))
    (tmp_path / "roc.png").write_bytes(b"")
    return tmp_path


def test_figures_data_and_settings_are_on_the_card(folder: Path, voice_toml: Path) -> None:
    text = rewrite_card(voice_toml, folder).read_text()
    assert text.startswith("# tiny: Voice activity in a toy world\n")
    assert "| accuracy | 0.943 |" in text
    assert "| AUC | – |" in text
    assert "| voices, 5 dB | – | 0.900 |" in text
    assert "frame threshold 0.4" in text
    assert "| train | Made for this test | speech | split: train | CC0 |" in text
    assert "surnn train tiny.toml --data DIR --out tiny" in text
    assert "1,234 parameters" in text
    assert "![ROC](roc.png)" in text
    assert "learning.png" not in text, "only figures that are there"


def test_share_alike_data_is_spoken_about(folder: Path, voice_toml: Path) -> None:
    assert "share-alike" in rewrite_card(voice_toml, folder).read_text()
    voice_toml.write_text(voice_toml.read_text().replace("CC BY-SA 4.0", "CC0"))
    assert "share-alike" not in rewrite_card(voice_toml, folder).read_text()


def test_a_folder_without_a_model_is_refused(tmp_path: Path, voice_toml: Path) -> None:
    with pytest.raises(UnknownModel, match=r"holds no spec.json"):
        rewrite_card(voice_toml, tmp_path)
