"""The laws on a CUDA device, and what is particular to one; `benchmarks/gpu.sh` runs these and all benchmarks."""

from typing import Any

import kornia.augmentation as K
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import augment
from onthefly.generators import FrozenGenerator
from onthefly.testing import CountingGenerator
from tests import laws
from tests.test_laws import EPOCHS, MIXES, maker

pytestmark = pytest.mark.gpu


@pytest.fixture(params=MIXES)
def mix(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {**MIXES[request.param], "device": "cuda"}


def test_the_laws_of_the_stream(images: TensorDataset, generator: FrozenGenerator, mix: dict[str, Any]) -> None:
    make = maker(images, generator, **mix)
    laws.law_2_exact(make, EPOCHS)
    laws.law_3_fair(make, EPOCHS)
    laws.law_5_resume(make, EPOCHS)
    laws.law_7_sample_is_its_key(make, generator)
    laws.law_8_usable(make, "cuda")
    laws.law_9_honest(make, EPOCHS)


def test_one_stream_with_workers_and_pinned_memory(images: TensorDataset, generator: FrozenGenerator) -> None:
    make = maker(images, generator, device="cuda")
    laws.law_4_one_stream(make, EPOCHS)
    pinned = onthefly.wrap(
        DataLoader(images, 8, shuffle=True, num_workers=2, pin_memory=True),
        generator,
        epochs=EPOCHS,
        tag=True,
        device="cuda",
    )
    assert all(one.same(two) for one, two in zip(laws.deliver(pinned), laws.deliver(make()), strict=True))


def test_hermetic_with_kornia(images: TensorDataset, generator: FrozenGenerator) -> None:
    make = maker(images, generator, device="cuda", augment=augment.image((1, 8, 8)))
    laws.law_6_hermetic(make, generator)
    laws.law_8_usable(make, "cuda")


def test_cuda_is_the_default_and_delivers_what_the_cpu_does(images: TensorDataset, generator: FrozenGenerator) -> None:
    plain = DataLoader(images, 8, shuffle=True)
    there = [[part.cpu() for part in batch] for batch in onthefly.wrap(plain, generator)]
    assert onthefly.wrap(plain, generator).device == torch.device("cuda", torch.cuda.current_device())
    here = list(onthefly.wrap(plain, generator, device="cpu"))
    for one, two in zip(there, here, strict=True):
        assert torch.allclose(one[0], two[0], atol=1e-4)
        assert torch.equal(one[1], two[1])


@pytest.mark.parametrize("setting", ["tf32", "autocast"])
def test_neither_tf32_nor_autocast_touches_a_sample(
    images: TensorDataset, generators: dict[str, Any], setting: str
) -> None:
    generator = generators["gan"].to("cuda")
    labels, keys = torch.arange(64, device="cuda") % 4, torch.arange(64, device="cuda")
    expected = generator.sample(labels, keys)
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        if setting == "tf32":
            torch.backends.cuda.matmul.fp32_precision = "tf32"
        with torch.autocast("cuda", enabled=setting == "autocast"):
            assert torch.equal(generator.sample(labels, keys), expected)
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def _stacked(samples: list[Any]) -> Any:
    return torch.stack([image for image, _ in samples]), torch.tensor([label for _, label in samples])


def test_another_collate_gets_whole_samples_back_from_the_device(images: TensorDataset) -> None:
    generator = CountingGenerator((1, 8, 8), 4)
    data = [(image, int(label)) for image, label in zip(*images.tensors, strict=True)]
    labels = images.tensors[1]
    plain = DataLoader(data, 8, shuffle=True, collate_fn=_stacked)  # type: ignore[arg-type]
    there = onthefly.wrap(plain, generator, labels=labels, ratio=1, device="cuda")
    here = onthefly.wrap(plain, generator, labels=labels, ratio=1, device="cpu")
    for one, two in zip(there, here, strict=True):
        assert one[0].device.type == one[1].device.type == "cuda"
        assert torch.equal(one[0].cpu(), two[0])
        assert torch.equal(one[1].cpu(), two[1])


def test_classes_by_name_and_samples_of_several_devices(images: TensorDataset) -> None:
    class Named(TensorDataset):
        classes, targets = ("a", "b", "c", "d"), images.tensors[1]

    generator = CountingGenerator((1, 8, 8), ("d", "c", "b", "a"))
    plain = DataLoader(Named(*images.tensors, torch.rand(len(images))), 8, shuffle=True)
    mapped = generator.map(lambda image, label: (image, label, torch.tensor(0.7)))
    for pixels, labels, _, info in onthefly.wrap(plain, mapped, labels=Named.targets, ratio=1, tag=True):
        assert pixels.device.type == "cuda"
        assert torch.equal(labels, info.label)
        assert torch.equal((pixels[:, 0, 0, 0] * 4).round().long(), 3 - labels)


@pytest.mark.parametrize("exact", [False, True])
def test_a_fused_pipeline_is_kornia_s(exact: bool) -> None:
    pipeline = augment.image((3, 32, 32), brightness=0.1, contrast=0.1)
    ours = augment.fused(pipeline, exact=exact).to("cuda")
    pixels = torch.rand(16, 3, 32, 32, device="cuda") * 0.4 + 0.3
    found = ours(pixels)
    assert found.device.type == "cuda"
    assert pipeline[0].device.type == "cpu"
    noise = [item.data["gaussian_noise"] for item in ours._params if "gaussian_noise" in (item.data or {})]
    assert [one.device.type for one in noise] == ["cpu" if exact else "cuda"]
    on_cpu = ours(pixels.cpu(), params=ours._params)
    torch.testing.assert_close(found.cpu(), on_cpu, atol=1e-4, rtol=0)
    if exact:
        torch.testing.assert_close(found, pipeline(pixels, params=ours._params), atol=1e-4, rtol=0)


def test_masks_and_points_move_on_the_device() -> None:
    keys = ["input", "mask", "keypoints"]
    pipeline = K.AugmentationSequential(K.RandomAffine(20.0, p=1.0), K.RandomCrop((24, 24), padding=2), data_keys=keys)
    data = torch.rand(4, 3, 32, 32), torch.rand(4, 1, 32, 32), torch.rand(4, 5, 2) * 31
    ours = augment.fused(pipeline)
    here = ours(*data)
    there = ours(*(one.to("cuda") for one in data), params=ours._params)
    for one, other in zip(here, there, strict=True):
        assert other.device.type == "cuda"
        assert ((one - other.cpu()).abs() > 1e-3).double().mean() < 0.01


def test_a_compiled_pass_draws_nothing_new() -> None:
    ours = augment.fused(augment.image((3, 32, 32)), compile=True)
    pixels = torch.rand(16, 3, 32, 32, device="cuda")
    found = ours(pixels)
    again = augment.fused(ours.pipeline)(pixels, params=ours._params)
    torch.testing.assert_close(found, again, atol=1e-4, rtol=0)
