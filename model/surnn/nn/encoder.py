"""A causal convolution over the last few frames, between front end and recurrent layers.

Hundreds of terms cancel in its sums, and recurrent layers magnify what rounding leaves of them a
hundred times: two orders of summation in float32 may end 1e-5 apart in probabilities. So all
runtimes sum in float64; torch does when it evaluates, while training saves itself the time.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from surnn.spec import EncoderSpec

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """relu(W [x[t - frames + 1] ... x[t]] + b) for every frame t."""

    def __init__(self, features: int, spec: EncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.conv = nn.Conv1d(features, spec.width, spec.frames)

    def forward(self, features: Tensor, past: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, T, width] of features [B, T, F], and the last frames - 1 before each length.

        past: the features [B, frames - 1, F] in front of the first frame.
        """
        joined = torch.cat([past, features], dim=1)  # [B, frames - 1 + T, F]
        encoded = torch.relu(self._convolve(joined.transpose(1, 2))).transpose(1, 2)
        offsets = torch.arange(self.spec.frames - 1, device=features.device)
        behind = (lengths[:, None] + offsets)[..., None].expand(-1, -1, features.shape[2])
        return encoded, joined.gather(1, behind)

    def _convolve(self, x: Tensor) -> Tensor:
        if self.training:
            return cast(Tensor, self.conv(x))
        weight, bias = (p.double() for p in self.conv.parameters())
        return nn.functional.conv1d(x.double(), weight, bias).to(x.dtype)
