"""The laws on a CUDA device, and what is particular to one; `benchmarks/gpu.sh` runs these and all benchmarks."""

from typing import Any

import kornia.augmentation as K
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import augment
from onthefly.generators import FrozenGenerator, load, save
from onthefly.generators.batching import best_batch_size
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.running import device_of
from onthefly.testing import CountingGenerator
from tests import laws
from tests.test_laws import EPOCHS, MIXES, maker

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),  # torch's own, when it compiles
    pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning"),  # as well
]


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


def _stalled(batch: Any) -> Any:
    torch.cuda._sleep(50_000_000)  # some tens of milliseconds: whoever doesn't wait reads too early
    return [part + 0 for part in batch]


def test_a_stalled_side_stream_is_waited_for_and_freed_memory_is_not_read(images: TensorDataset) -> None:
    """Every batch is used on the main stream late, freed at once, and its memory written over with NaN."""
    generator = CountingGenerator((1, 8, 8), 4)
    plain = DataLoader(images, 8, shuffle=True, num_workers=2, pin_memory=True)
    loader = onthefly.wrap(plain, generator, ratio=0.5, augment=_stalled, tag=True, device="cuda")
    assert loader.looks_ahead
    here = onthefly.wrap(DataLoader(images, 8, shuffle=True), generator, ratio=0.5, tag=True, device="cpu")
    sums = []
    for _ in range(5):
        for pixels, labels, info in loader:
            torch.cuda._sleep(20_000_000)
            sums.append(torch.stack([pixels.double().sum(), labels.double().sum(), info.key.double().sum()]))
            shapes = [part.shape for part in (pixels, labels)]
            del pixels, labels, info
            for shape in shapes:
                torch.full(shape, torch.nan, device="cuda")
    expected = [[float(one.double().sum()) for one in (x, y, info.key)] for _ in range(5) for x, y, info in here]
    assert torch.allclose(torch.stack(sums).cpu(), torch.tensor(expected).double())


def test_batches_are_made_ready_on_one_stream_that_is_not_the_consumers(images: TensorDataset) -> None:
    plain = DataLoader(images, 8, shuffle=True, num_workers=2, pin_memory=True)
    loader = onthefly.wrap(plain, CountingGenerator((1, 8, 8), 4), ratio=0.5, augment=_stalled, device="cuda")
    streams = set()
    for _ in loader:
        assert loader.mix is not None
        streams.add(loader.mix.side._stream)
    assert len(streams) == 1
    assert streams != {torch.cuda.current_stream()}


def test_what_a_generator_makes_is_checked_before_it_is_handed_out(images: TensorDataset) -> None:
    generator = onthefly.testing.FaultyGenerator(CountingGenerator((1, 8, 8), 4), "nan", call=-1)
    plain = DataLoader(images, 8, shuffle=True, num_workers=2, pin_memory=True)
    loader = onthefly.wrap(plain, generator, ratio=1, device="cuda")
    generator.call = None
    with pytest.raises(ValueError, match="expected finite values"):
        next(iter(loader))


def test_a_generator_put_elsewhere_stays_there(images: TensorDataset, generators: dict[str, Any]) -> None:
    path = save(generators["gan"], "generator.safetensors")
    plain = DataLoader(images, 8, shuffle=True)
    here, there = (load(path, device=device) for device in ("cpu", "cuda"))
    mixes = {"cpu on cuda": (here, "cuda"), "cuda on cpu": (there, "cpu"), "both": ({0: here, 1: there}, "cuda")}
    for generator, device in mixes.values():
        for images_made, labels, _ in onthefly.wrap(plain, generator, ratio={0: 0.5, 1: 1}, tag=True, device=device):
            assert images_made.device.type == labels.device.type == device
    assert isinstance(here, LatentGenerator)
    assert isinstance(there, LatentGenerator)
    assert device_of(here.network).type == "cpu"
    assert device_of(there.network).type == "cuda"
    delivered = [next(iter(onthefly.wrap(plain, one, ratio=1, device="cpu")))[0] for one in (here, there)]
    assert torch.allclose(*delivered, atol=1e-4)


def test_a_sample_is_replayed_where_its_generator_is(images: TensorDataset, generators: dict[str, Any]) -> None:
    path = save(generators["vae"], "generator.safetensors")
    for one in (load(path), load(path, device="cpu"), {0: load(path), 1: load(path, device="cpu")}):
        loader = onthefly.wrap(DataLoader(images, 8, shuffle=True), one, ratio={0: 1, 1: 1}, tag=True, device="cuda")
        images_made, _, info = next(iter(loader))
        slot = int(info.synthetic.nonzero()[0])
        image, _ = onthefly.replay(loader.manifest(), 0, slot, generator=one)
        assert torch.allclose(image.cpu(), images_made[slot].cpu(), atol=1e-5)


def test_bfloat16_and_channels_last_on_cuda(generators: dict[str, Any]) -> None:
    labels, keys = torch.arange(64, device="cuda") % 4, torch.arange(64, device="cuda")
    for family in ("gan", "vae"):
        plain = load(save(generators[family], f"{family}.safetensors"), device="cuda")
        fast = load(save(generators[family], f"{family}.safetensors"), device="cuda", dtype="bfloat16")
        made, expected = fast.sample(labels, keys), plain.sample(labels, keys)
        assert made.dtype == torch.float32
        assert made.isfinite().all()
        assert (made - expected).abs().max() < 2e-2
        assert fast.sample(labels, keys).is_contiguous()


@pytest.mark.parametrize("how", [True, "reduce-overhead"])
def test_compiled_samples_are_the_same_and_kept(images: TensorDataset, generators: dict[str, Any], how: Any) -> None:
    path = save(generators["gan"], "generator.safetensors")
    plain, quick = load(path, device="cuda"), load(path, device="cuda", batch_size=16, compile=how)
    labels, keys = torch.arange(40, device="cuda") % 4, torch.arange(40, device="cuda")
    first = quick.sample(labels, keys)
    quick.sample(labels, keys + 100)
    assert torch.allclose(first, plain.sample(labels, keys), atol=1e-5, rtol=0)
    laws.law_7_sample_is_its_key(maker(images, quick, device="cuda"), plain)


def test_the_best_batch_size_is_measured_on_the_device(generators: dict[str, Any]) -> None:
    generator = load(save(generators["vae"], "generator.safetensors"))
    where = generator.placed(torch.device("cuda", 0))
    size = best_batch_size(generator, where)
    assert size is not None
    assert 8 <= size <= 1024
    assert generator.measured == {where: size}


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
