"""Session states on a device: one tensor per kind of state, allocated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surnn.runtimes.device_errors import device_errors
from surnn.spec import StateSpec
from surnn.state import Pool, StateArrays
from surnn.types import Int64

__all__ = ["DevicePool"]


class DevicePool(Pool):
    """States of up to `capacity` sessions: for each `StateSpec`, a tensor [capacity + 1, *shape].

    The last row belongs to nobody: what pads a batch points there. Frame numbers are known on the
    host as well (`times`), so that nobody has to wait for the device to compare them.
    """

    def __init__(
        self, states: Sequence[StateSpec], capacity: int, device: torch.device | str
    ) -> None:
        super().__init__(states, capacity)
        self.device = torch.device(device)
        self.times: Int64 = np.zeros(capacity, np.int64)
        with device_errors():
            self.tensors: dict[str, Tensor] = {
                s.name: torch.zeros(
                    (capacity + 1, *s.shape), dtype=getattr(torch, s.dtype), device=self.device
                )
                for s in self.states
            }

    def _clear(self, row: int) -> None:
        with device_errors():
            for tensor in self.tensors.values():
                tensor[row] = 0
        self.times[row] = 0

    def _take(self, rows: NDArray[np.intp]) -> StateArrays:
        with device_errors():
            places = torch.from_numpy(rows.astype(np.int64)).to(self.device)
            return {
                name: tensor.index_select(0, places).cpu().numpy()
                for name, tensor in self.tensors.items()
            }

    def _put(self, rows: NDArray[np.intp], new: Mapping[str, NDArray[np.generic]]) -> None:
        with device_errors():
            places = torch.from_numpy(rows.astype(np.int64)).to(self.device)
            for name, tensor in self.tensors.items():
                values = torch.from_numpy(np.array(new[name]))
                tensor.index_copy_(0, places, values.to(self.device))
        if "t" in new:
            self.times[rows] = new["t"]
