"""Speech enhancement: a diffusion model that takes noise out of speech, against the autoencoder often shown for it.

RECORDINGS=fsdd/recordings python examples/speech_enhancement.py

RECORDINGS names a folder of wav files called as those of the Free Spoken Digit Dataset are (label_speaker_take.wav),
two of whose speakers are kept for the test; training takes some minutes. Without it synthetic tones stand for speech,
for seconds. Writes enhancement.png, and wav files to enhancement/.
"""

import math
import os
import time
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, default_collate

from onthefly.evidence import si_sdr, snr
from onthefly.generators import draw_waves, load, save, train, write_waves
from onthefly.reading import Clips, Noisy

RECORDINGS = os.environ.get("RECORDINGS")
HELD_OUT = ("george", "theo")  # speakers that training never hears
RATE, LENGTH = 8000, 3840  # 0.48 seconds
STEPS, WIDTH = (900, 32) if RECORDINGS else (4, 8)
LEVELS = (-5, 0, 5, 10)  # decibels of the noisy sounds of the test


class Tones(TensorDataset):
    """Two hums at a time, which stand for speech where there is none."""

    rate, speakers = RATE, ["somebody", "george"] * 10

    def __init__(self) -> None:
        pitch = 100 + 300 * torch.rand(20, 2, 1, generator=torch.Generator().manual_seed(0))
        waves = torch.sin(2 * math.pi * pitch * torch.arange(LENGTH) / RATE).mean(dim=1, keepdim=True)
        super().__init__(waves, torch.zeros(len(waves), dtype=torch.int64))


class Autoencoder(nn.Module):
    """The usual one: strided convolutions, a dense code, transposed convolutions; from noisy to clean in one go."""

    def __init__(self, code: int = 256) -> None:
        super().__init__()
        sizes = list(pairwise((1, 16, 32, 64, 64)))
        shortest = 64 * (LENGTH // 4 ** len(sizes))
        down = [nn.Sequential(nn.Conv1d(few, many, 8, 4, 2), nn.ReLU()) for few, many in sizes]
        dense = [nn.Flatten(), nn.Linear(shortest, code), nn.ReLU(), nn.Linear(code, shortest)]
        up = [nn.Sequential(nn.ReLU(), nn.ConvTranspose1d(many, few, 8, 4, 2)) for few, many in reversed(sizes)]
        self.layers = nn.Sequential(*down, *dense, nn.Unflatten(1, (64, -1)), *up)

    def forward(self, noisy: Tensor) -> Tensor:
        """``float32[N, 1, LENGTH]`` to the same."""
        clean: Tensor = self.layers(noisy)
        return clean


def train_autoencoder(pairs: Noisy, seconds: float) -> Autoencoder:
    """Train for as long."""
    network, began = Autoencoder(), time.monotonic()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    loader = DataLoader(pairs, batch_size=16, shuffle=True)
    while True:
        for noisy, clean, _ in loader:
            if time.monotonic() - began > seconds:
                return network.eval()
            loss = (network(noisy) - clean).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


# Pairs of noisy and clean sounds: with other noise every time in training, always the same in the test.
clips: Any = Clips(RECORDINGS, seconds=LENGTH / RATE, pattern="{label}_{speaker}_{take}.wav") if RECORDINGS else Tones()
speakers = clips.attributes["speaker"] if RECORDINGS else clips.speakers
heard = [row for row, speaker in enumerate(speakers) if speaker not in HELD_OUT]
unheard = [row for row, speaker in enumerate(speakers) if speaker in HELD_OUT]
unheard = unheard[:: max(1, len(unheard) // 100)]

# The diffusion model sees the noisy sound beside the noise that it turns into a clean one.
began = time.monotonic()
pairs, config = Noisy(clips, rows=heard), {"paired": True, "width": WIDTH}
enhancer = train("diffusion", pairs, labels=0, coding="stft", config=config, steps=STEPS, batch_size=16)
save(enhancer, "enhancer.safetensors")
seconds = time.monotonic() - began
torch.manual_seed(0)
autoencoder = train_autoencoder(pairs, seconds)

# One step goes to the mean of all clean sounds that it may have been, more steps to one of them, with finer detail.
models = {f"diffusion, {n} steps": load("enhancer.safetensors", steps=n, solver="euler", guidance=1.0) for n in (1, 4)}


def enhanced(noisy: Tensor) -> dict[str, Tensor]:
    """What each model makes of noisy sounds ``float32[N, 1, LENGTH]``."""
    labels, keys = torch.zeros(len(noisy), dtype=torch.int64), torch.arange(len(noisy))
    with torch.no_grad():
        made = {name: model.sample(labels, keys, sources=noisy) for name, model in models.items()}
        return {**made, "autoencoder": autoencoder(noisy)}


print(f"{len(unheard)} clips of speakers never heard; {seconds:.0f} s of training each; gain in SNR (in SI-SDR), dB")
for level in LEVELS:
    noisy, clean, _ = default_collate([*Noisy(clips, rows=unheard, snr=(level, level), seed=1)])
    for name, found in enhanced(noisy).items():
        gain, other = ((measure(clean, found) - measure(clean, noisy)).mean() for measure in (snr, si_sdr))
        print(f"noisy at {level:+3d} dB, {name:18} {gain:+5.1f} ({other:+5.1f})")

# To look at, and to listen to.
noisy, clean, _ = default_collate([*Noisy(clips, rows=unheard[::30], snr=(0, 0), seed=2)])
rows = {name: {"sound": list(some)} for name, some in {"clean": clean, "noisy": noisy, **enhanced(noisy)}.items()}
draw_waves(rows, "enhancement.png", rate=RATE)
write_waves(rows, "enhancement", rate=RATE)
print("enhancement.png, enhancement/: " + ("speech" if RECORDINGS else "synthetic tones"))
