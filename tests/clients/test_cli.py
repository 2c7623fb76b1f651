import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]

COMMANDS = (
    "demo",
    "stream",
    "score",
    "serve",
    "apikey",
    "key",
    "models",
    "info",
    "eval",
    "train",
    "export",
)


def test_help_names_every_command(surnn: Run) -> None:
    result = surnn("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(surnn: Run, command: str) -> None:
    result = surnn(command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['surnn', '--help']\n"
        "from surnn_cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(result.stderr.split())
    assert "surnn_cli" in loaded
    assert not loaded & {"numpy", "onnxruntime", "torch", "fastapi", "soundfile", "httpx", "surnn"}


def test_serve_help_names_every_setting(surnn: Run) -> None:
    from surnn_server import Settings

    text = surnn("serve", "--help").stdout
    for name in Settings.model_fields:
        assert f"SURNN_{name.upper()}" in text


def test_serve_refuses_bad_settings(surnn: Run) -> None:
    result = surnn("serve", "--port", "70000")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: port is 70000: ")


def test_a_key_seals_and_opens(surnn: Run) -> None:
    from surnn_server.tokens import TokenSealer

    first, second = (surnn("key").stdout.strip() for _ in range(2))
    assert first != second
    TokenSealer([first, second], ttl_s=60.0)


def test_version(surnn: Run) -> None:
    from surnn import __version__

    assert surnn("--version").stdout == f"surnn {__version__}\n"


def test_info_for_people(surnn: Run, tiny_model: Path) -> None:
    result = surnn("info", tiny_model)
    assert result.exit_code == 0
    for expected in (
        "tiny version 1",
        "8 neurons, 8 switches driven by clock",
        "1016 bytes for each stream",
        "test set.accuracy = 0.75",
        "CC0-1.0",
    ):
        assert expected in result.stdout


def test_info_as_json(surnn: Run, tiny_model: Path) -> None:
    record = json.loads(surnn("info", tiny_model, "--json").stdout)
    assert record["name"] == "tiny"
    assert record["state_bytes"] == 1016
    assert [state["name"] for state in record["state"]] == ["t", "context", "h0", "h1"]
    assert record["metrics"]["test set"]["accuracy"] == 0.75
    assert record["runtime"]["name"] == "native"
    path = record["runtime"]["instructions"]
    assert path in ("avx512", "avx2", "neon", "generic")
    assert f"native, kernels for {path}" in surnn("info", tiny_model).stdout


def test_unknown_models_are_one_line(surnn: Run) -> None:
    result = surnn("info", "nix")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no model 'nix', expected one of ")
    assert len(result.stderr.splitlines()) == 1


def test_models_are_listed(surnn: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import surnn as package

    monkeypatch.setattr(package, "installed", lambda: {"tiny": tiny_model / "model.onnx"})
    monkeypatch.setattr(package, "load", lambda name, load=package.load: load(tiny_model))
    result = surnn("models")
    assert result.exit_code == 0
    header, row, *_ = result.stdout.splitlines()
    assert header.split() == ["model", "hears", "rate", "labels", "neurons", "open", "state"]
    assert "audio, 1 ch" in row
    assert row.split()[-4:] == ["12", "12%", "1016", "B"]
    (record,) = json.loads(surnn("models", "--json").stdout)
    assert (record["name"], record["open_rate"], record["layers"]) == ("tiny", 0.125, [8, 4])


def test_eval(surnn: Run, tiny_model: Path, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(recording.read_bytes())
    (tmp_path / "segments.csv").write_text("file,start_s,end_s,label\nnoise.wav,0.0,0.5,speech\n")
    figures = json.loads(surnn("eval", tiny_model, tmp_path, "--json").stdout)
    assert figures["accuracy"] == 0.5
    assert figures["miss_rate"] == 0.0
    assert figures["files"]["noise.wav"]["accuracy"] == 0.5
    text = surnn("eval", tiny_model, tmp_path).stdout
    assert "accuracy" in text
    assert "0.5000" in text
    assert "noise.wav" in text


def test_eval_beside_another_detector(
    surnn: Run, tiny_model: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from surnn.bench.detectors import Detector

    other = Detector("ones", "3", 0.5, 0.01, lambda pcm: np.ones(len(pcm) // 160, np.float32))
    monkeypatch.setattr("surnn.compare.detectors", lambda: [other])
    (tmp_path / "noise.wav").write_bytes(recording.read_bytes())
    (tmp_path / "segments.csv").write_text(
        "file,start_s,end_s,label,room\nnoise.wav,0.0,0.5,speech,hall\n"
    )
    figures = json.loads(surnn("eval", tiny_model, tmp_path, "--peers", "--json").stdout)
    assert list(figures["detectors"]) == ["tiny", "ones"]
    assert figures["detectors"]["ones"]["by"]["room"]["hall"]["accuracy"] == 0.5
    text = surnn("eval", tiny_model, tmp_path, "--peers", "--tune", tmp_path).stdout
    assert "ones 3" in text
    assert "hall  tiny" in text
    assert surnn("eval", tiny_model, tmp_path, "--tune", tmp_path).exit_code == 2


def test_eval_of_a_folder_without_audio(surnn: Run, tiny_model: Path, tmp_path: Path) -> None:
    result = surnn("eval", tiny_model, tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "holds no audio" in result.stderr


def test_training_without_torch(
    surnn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "a.toml"
    config.write_text("")
    monkeypatch.setattr("surnn_cli.torch.find_spec", lambda name: None)
    for args in (("train", config, "--out", tmp_path), ("export", tmp_path, "--out", tmp_path)):
        result = surnn(*args)
        assert result.exit_code == 2
        assert result.stderr.endswith("needs torch, which is missing: pip install 'surnn[torch]'\n")
    assert importlib.util.find_spec("torch") is not None, "the module itself is untouched"


def test_training_without_a_config(surnn: Run, tmp_path: Path) -> None:
    result = surnn("train", tmp_path / "nix.toml", "--out", tmp_path)
    assert result.exit_code == 2
    assert "expected a training config" in result.stderr


def test_export(surnn: Run, tiny_model: Path, tmp_path: Path) -> None:
    result = surnn("export", tiny_model, "--out", tmp_path / "again")
    assert result.exit_code == 0
    assert "equal to the network" in result.stdout
    assert surnn("info", tmp_path / "again").exit_code == 0


def test_export_of_something_else(surnn: Run, tmp_path: Path) -> None:
    result = surnn("export", tmp_path, "--out", tmp_path)
    assert result.exit_code == 2
    assert "holds no spec.json, expected a saved model" in result.stderr


def test_an_api_key_is_shown_once_and_its_hash_is_kept(surnn: Run, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    result = surnn("apikey", "app", "--scope", "stream", "--file", file, "--max-sessions", "3")
    assert result.exit_code == 0
    secret = result.stdout.strip()
    assert secret.startswith("surnn_")
    (key,) = json.loads(file.read_text())["keys"]
    assert (key["name"], key["scopes"], key["limits"]["max_sessions"]) == ("app", ["stream"], 3)
    assert secret not in file.read_text()
    again = surnn("apikey", "app", "--file", file)
    assert again.exit_code == 2
    assert again.stderr.startswith("error: key 'app' exists already")
    wrong = surnn("apikey", "b", "--scope", "all", "--file", file)
    assert wrong.stderr.startswith("error: --scope: 'all' is not a valid Scope, expected one of")


def test_warmup_takes_every_shipped_model_that_runs_natively(surnn: Run) -> None:
    pytest.importorskip("numba")
    said = surnn("warmup")
    assert said.exit_code == 0, said.output
    assert [line.partition(":")[0] for line in said.stdout.splitlines()[:-1]] == [
        "activity",
        "keywords",
        "machine",
        "vad",
    ]
    assert said.stdout.splitlines()[-1].startswith("kernels for ")
