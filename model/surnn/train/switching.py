"""Switches before and after training: how they are to learn, and which of them are of no use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from surnn.nn import Network, switch_parameters
from surnn.spec import LayerSpec, SwitchMode
from surnn.train.config import SwitchTraining
from surnn.types import Float32

__all__ = ["SwitchHealth", "prepare_switches", "switch_health"]


def prepare_switches(network: Network, config: SwitchTraining) -> None:
    """Give the switches of a network their surrogate, and freeze or replace them where asked.

    Raises `InvalidConfig` when `every` is asked of switches that are not such a clock.
    """
    for layer in network.stack:
        layer.switch.surrogate = config.surrogate
        layer.switch.width = config.width
        layer.switch.soft = config.soft
        if config.every is not None:
            layer.switch.open_every(config.every)
    if config.frozen or config.every is not None:
        for parameter in switch_parameters(network):
            parameter.requires_grad_(False)


@dataclass(frozen=True, slots=True)
class SwitchHealth:
    """Switches of one layer that never changed on held-out data."""

    switches: int
    dead: int
    """Never open: the neuron holds what it began with, and tells nothing."""
    always_open: int
    """Never closed: the neuron costs as much as a dense one."""

    def figures(self) -> dict[str, int]:
        """For JSON."""
        return {"switches": self.switches, "dead": self.dead, "always_open": self.always_open}


def switch_health(
    layers: Sequence[LayerSpec], rates: Sequence[Float32]
) -> tuple[list[SwitchHealth | None], str]:
    """Dead and always-open switches for each layer, and a warning, empty where all is well.

    rates: for each layer the share of held-out frames in which each switch was open. Layers whose
    neurons have no switch get None: to be open always is their nature.
    """
    found: list[SwitchHealth | None] = []
    complaints = []
    for i, (layer, rate) in enumerate(zip(layers, rates, strict=True)):
        if layer.switch.mode is SwitchMode.NONE:
            found.append(None)
            continue
        health = SwitchHealth(len(rate), int((rate == 0).sum()), int((rate == 1).sum()))
        found.append(health)
        if health.dead:
            complaints.append(f"layer {i + 1}: {health.dead} of {len(rate)} switches never open")
        if health.always_open:
            complaints.append(
                f"layer {i + 1}: {health.always_open} of {len(rate)} switches never close"
            )
    return found, "; ".join(complaints)
