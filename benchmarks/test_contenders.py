"""A mix beside everything else that one could do, by `onthefly.evidence.bench`; the goals of speed are read off it."""

from typing import Any

import pytest
import torch
from pictures import Pictures
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2

import onthefly
from onthefly.data.batches import default_device
from onthefly.data.spec import Spec
from onthefly.evidence.folder import untrained

SIZE, BATCH = 32, 256
SHAPE = (3, SIZE, SIZE)
PICTURES = Pictures(4096, SIZE)
FAMILIES = ("gan", "vae")
ON_CPU = v2.Compose(  # what `onthefly.augment.image` does
    [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(10.0, (0.06, 0.06), (0.9, 1.1), 5.0),
        v2.RandomCrop(SIZE, padding=SIZE // 8),
        v2.ColorJitter(0.2, 0.2, 0.2, 0.02),
        v2.GaussianNoise(sigma=0.02),
    ]
)


def generator(family: str, classes: Any = Pictures.classes) -> Any:
    return untrained(family, Spec.image(SHAPE, classes))


@pytest.mark.parametrize("family", FAMILIES)
def test_contenders(contest: Any, family: str) -> None:
    """Pictures of 32 x 32, read by two workers, augmented by the preset."""
    plain = DataLoader(PICTURES, BATCH, shuffle=True, num_workers=2)
    augmented_by_workers = DataLoader(Pictures(4096, SIZE, ON_CPU), BATCH, shuffle=True, num_workers=2)
    pipeline = onthefly.augment.fused(onthefly.augment.image(SHAPE))
    loader = onthefly.wrap(plain, generator(family), ratio=0.25, augment=pipeline)
    contest(f"contenders, {family}", loader, beside={"torchvision v2": augmented_by_workers})


@pytest.mark.parametrize("family", FAMILIES)
def test_the_generator_is_never_idle(contest: Any, family: str) -> None:
    """Nearly all samples are synthetic and real ones cost nothing: then generation is the limit."""
    images = TensorDataset(torch.rand(4096, *SHAPE), torch.arange(4096) % 10)
    loader = onthefly.wrap(DataLoader(images, BATCH, shuffle=True), generator(family, 10), ratio=0.9)
    contest(f"utilisation, {family}", loader, contenders=["plain", "mix"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_step(contest: Any) -> None:
    """ResNet-50 in bfloat16 on pictures of 64 x 64; 25 % of each batch is fresh from a GAN of that size."""
    from torchvision.models import resnet50

    device, shape = default_device(), (3, 64, 64)
    network = resnet50(num_classes=10).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 1e-4, momentum=0.9)

    def step(batch: Any) -> None:
        x, y = batch[0].to(device, memory_format=torch.channels_last, non_blocking=True), batch[1].to(device)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()

    plain = DataLoader(Pictures(8192, 64), BATCH, shuffle=True, num_workers=12, pin_memory=True)
    made = untrained("gan", Spec.image(shape, Pictures.classes))
    pipeline = onthefly.augment.fused(onthefly.augment.image(shape), compile=True)
    loader = onthefly.wrap(plain, made, ratio=0.25, augment=pipeline)
    names = ["plain", "plain + augment", "plain + fused", "mix 0.25", "by hand"]
    contest("a training step of ResNet-50, gan", loader, step=step, seconds=2.0, rounds=3, contenders=names)
