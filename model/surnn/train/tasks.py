"""Which task a config is for."""

from __future__ import annotations

from pathlib import Path

from surnn.errors import InvalidConfig
from surnn.train.config import Config
from surnn.train.task import Task

__all__ = ["make_task"]


def make_task(config: Config, root: Path) -> Task:
    """The task of a config. Raises `InvalidConfig` when there is no such data folder."""
    if not root.is_dir():
        raise InvalidConfig(f"data folder {root} is not a folder")
    if config.task == "voice":
        from surnn.train.voice import VoiceTask

        return VoiceTask(config, root)
    if config.task in ("audio", "sensor"):
        from surnn.train.frames import FramesTask

        return FramesTask(config, root)
    if config.task == "machine":
        from surnn.train.machine import MachineTask

        return MachineTask(config, root)
    if config.task == "keywords":
        from surnn.train.keywords import KeywordsTask

        return KeywordsTask(config, root)
    from surnn.train.sensor import SensorTask

    return SensorTask(config, root)
