"""Front ends as modules: raw frames [B, T, S] to features [B, T, F]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surnn.errors import InvalidShape
from surnn.frontend import LOG_FLOOR, hann_window, mel_matrix
from surnn.spec import LogMelFrontEnd, ModelSpec, ScaleFrontEnd

__all__ = ["LogMel", "Scale", "build_front_end"]


class LogMel(nn.Module):
    """Streaming log-mel energies: `surnn.frontend.log_mel` for a batch, through the FFT.

    No gradient flows back into the samples: nothing in front of the features is trained.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, spec: ModelSpec, front: LogMelFrontEnd) -> None:
        super().__init__()
        self.spec = spec
        self.front = front
        self.register_buffer("window", torch.from_numpy(hann_window(spec)), persistent=False)
        self.register_buffer("bands", torch.from_numpy(mel_matrix(spec)), persistent=False)

    @torch.no_grad()
    def forward(self, frames: Tensor, context: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, T, F], and the context [B, window - hop] behind each session's length."""
        if context.shape != (len(frames), self.spec.context):
            raise InvalidShape(
                f"context is {list(context.shape)}, expected [{len(frames)}, {self.spec.context}]"
            )
        samples = torch.cat([context, frames.flatten(1)], dim=1)
        windows = samples.unfold(1, self.front.window, self.spec.hop)  # [B, T, window]
        centred = (windows - windows.mean(dim=-1, keepdim=True)) * self.window.to(frames.dtype)
        spectrum = torch.view_as_real(torch.fft.rfft(centred, self.front.n_fft))
        energy = spectrum.square().sum(dim=-1) @ self.bands.to(frames.dtype)  # [B, T, F]
        features = (torch.log(energy + LOG_FLOOR) + self.front.offset) * self.front.scale
        offsets = torch.arange(self.spec.context, device=frames.device)
        behind = lengths[:, None] * self.spec.hop + offsets
        return features, samples.gather(1, behind)


class Scale(nn.Module):
    """Each channel shifted and scaled; remembers nothing."""

    mean: Tensor
    scale: Tensor

    def __init__(self, front: ScaleFrontEnd) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(front.mean), persistent=False)
        self.register_buffer("scale", torch.tensor(front.scale), persistent=False)

    def forward(self, frames: Tensor, context: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, T, F] and the context, which is empty."""
        return (frames - self.mean) * self.scale, context


def build_front_end(spec: ModelSpec) -> LogMel | Scale:
    """The front end that a spec names."""
    if isinstance(spec.frontend, LogMelFrontEnd):
        return LogMel(spec, spec.frontend)
    return Scale(spec.frontend)
