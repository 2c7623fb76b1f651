"""Every error that surnn raises on purpose.

    SurnnError
    ├── InvalidInput          what a caller sent cannot be used
    │   ├── InvalidConfig     a stream, event or training option is wrong
    │   ├── InvalidAudio      bytes, samples or a file are not what they claim to be
    │   │   └── AudioTooLong  a file is longer than whoever scores it allows
    │   ├── InvalidShape      an array has the wrong shape or type
    │   └── InvalidSnapshot   saved bytes are not a session of this model
    ├── ModelError
    │   ├── UnknownModel      no model of that name
    │   └── CorruptModel      a model file is damaged, incomplete or not ours
    ├── StateError
    │   ├── PoolFull          every slot of a state pool is taken
    │   └── StaleSlot         a slot was released, perhaps taken by another session
    ├── DeviceError
    │   ├── DeviceMemory      a device has no memory left for a call; no state has changed
    │   └── DeviceLost        a device failed: the states on it are gone
    └── MissingDependency     an optional package is needed for this call

Messages say what was seen, then what was expected. `code` is the stable, machine-readable
name that the server sends to clients.
"""

__all__ = [
    "AudioTooLong",
    "CorruptModel",
    "DeviceError",
    "DeviceLost",
    "DeviceMemory",
    "InvalidAudio",
    "InvalidConfig",
    "InvalidInput",
    "InvalidShape",
    "InvalidSnapshot",
    "MissingDependency",
    "ModelError",
    "PoolFull",
    "StaleSlot",
    "StateError",
    "SurnnError",
    "UnknownModel",
]


class SurnnError(Exception):
    """Base of all errors that surnn raises on purpose."""

    code = "internal"


class InvalidInput(SurnnError, ValueError):
    """What a caller sent cannot be used."""

    code = "invalid_input"


class InvalidConfig(InvalidInput):
    """An option of a stream, an event rule or a training run is wrong."""

    code = "invalid_config"


class InvalidAudio(InvalidInput):
    """Bytes, samples or a file are not what they claim to be."""

    code = "invalid_audio"


class AudioTooLong(InvalidAudio):
    """A file is longer than whoever scores it allows."""

    code = "audio_too_long"


class InvalidShape(InvalidInput):
    """An array has the wrong shape or type."""

    code = "invalid_shape"


class InvalidSnapshot(InvalidInput):
    """Saved bytes are not a session, or not one of this model."""

    code = "invalid_snapshot"


class ModelError(SurnnError):
    """A model cannot be used."""

    code = "model_error"


class UnknownModel(ModelError):
    """No model of that name is installed."""

    code = "unknown_model"


class CorruptModel(ModelError):
    """A model file is damaged, incomplete or not a surnn model."""

    code = "corrupt_model"


class StateError(SurnnError):
    """A session's state cannot be reached."""

    code = "state_error"


class PoolFull(StateError):
    """Every slot of a state pool is taken."""

    code = "at_capacity"


class StaleSlot(StateError):
    """A slot was released, and may belong to another session by now."""

    code = "stale_slot"


class DeviceError(SurnnError):
    """A GPU cannot do what it was asked to."""

    code = "device_error"


class DeviceMemory(DeviceError):
    """The device has no memory left for this call; no state has changed."""

    code = "at_capacity"


class DeviceLost(DeviceError):
    """The device failed, and with it went every state that it held."""

    code = "device_lost"


class MissingDependency(SurnnError, ImportError):
    """An optional package is needed for this call."""

    code = "missing_dependency"
