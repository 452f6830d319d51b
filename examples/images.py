"""Images, end to end: train a generator, save it, wrap a loader, train a classifier on the mix.

    python examples/images.py

Runs in a few seconds on the digits that ship with scikit-learn (pip install "onthefly-torch[report]").
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly.generators import save, train
from onthefly.schedule import Fill

digits = load_digits()
images, labels = torch.tensor(digits.images / 16).float()[:, None], torch.tensor(digits.target)
few = torch.cat([(labels == digit).nonzero()[: 47 - 5 * digit, 0] for digit in range(10)])  # 47 zeros, ..., 2 nines
train_set = TensorDataset(images[few], labels[few])

# Somebody else's images: a checkpoint is all that leaves the house.
elsewhere = TensorDataset(images[1000:], labels[1000:])
save(train("vae", elsewhere, steps=300), "digits.safetensors")

# Your loader, and the one line.
loader = DataLoader(train_set, batch_size=64, shuffle=True)
loader = onthefly.wrap(loader, "digits.safetensors", balance="uniform", ratio=Fill(cap=0.8))

# Your training script.
network = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)).to(loader.device)
optimizer = torch.optim.Adam(network.parameters())
for epoch in range(20):
    for x, y in loader:
        loss = nn.functional.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.3f}")
print(loader.stats())
