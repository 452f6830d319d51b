"""Fused pipelines in loaders."""

from typing import Any

import kornia.augmentation as K
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly.augment import as_augment, fused
from onthefly.augment.apply import is_kornia, takes_bytes
from onthefly.data.images import on_image
from onthefly.data.normalize import Normalization
from onthefly.testing import CountingGenerator

BYTES = torch.randint(0, 256, (24, 3, 8, 8), dtype=torch.uint8)
FLOATS = BYTES / 255
LABELS = torch.arange(24) % 2


def flip(**options: Any) -> Any:
    return fused(K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0), **options))


class Dicts(TensorDataset):
    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return dict(zip(("image", "mask", "label"), super().__getitem__(row), strict=True))


def test_it_is_kornia_s_and_takes_bytes() -> None:
    assert is_kornia(flip())
    assert is_kornia({"real": flip()})
    assert takes_bytes({"real": flip(), "synthetic": len})
    assert not takes_bytes({"real": flip(), "synthetic": K.RandomHorizontalFlip()})


@pytest.mark.parametrize("images", [FLOATS, BYTES], ids=["floats", "bytes"])
def test_a_loader_without_a_generator(images: Tensor) -> None:
    loader = onthefly.wrap(DataLoader(TensorDataset(images, LABELS), 8), augment=flip(), device="cpu")
    batches = list(loader)
    torch.testing.assert_close(torch.cat([x for x, _ in batches]), FLOATS.flip(-1), atol=1e-6, rtol=0)
    assert torch.equal(torch.cat([y for _, y in batches]), LABELS)


@pytest.mark.parametrize("images", [FLOATS, BYTES], ids=["floats", "bytes"])
def test_masks_move_with_their_images(images: Tensor) -> None:
    masks = (FLOATS[:, :1] > 0.5).long()
    in_order = DataLoader(TensorDataset(images, masks, LABELS), 8)
    by_name = DataLoader(Dicts(images, masks, LABELS), 8)
    for x, m, _ in onthefly.wrap(in_order, augment=flip(data_keys=["input", "mask"]), device="cpu"):
        assert torch.equal((x[:, :1] > 0.5).long(), m)
        assert m.dtype == torch.int64
    for batch in onthefly.wrap(by_name, augment=flip(data_keys=None), device="cpu"):
        assert torch.equal((batch["image"][:, :1] > 0.5).long(), batch["mask"])
        assert sorted(batch) == ["image", "label", "mask"]


def test_fresh_samples_are_augmented_like_real_ones() -> None:
    generator = CountingGenerator((3, 8, 8), classes=2)
    loader = DataLoader(TensorDataset(FLOATS, LABELS), 8, shuffle=True)
    plain = onthefly.wrap(loader, generator, ratio=0.5, device="cpu")
    flipped = onthefly.wrap(loader, generator, ratio=0.5, augment=flip(), device="cpu")
    for (x, _), (other, _) in zip(plain, flipped, strict=True):
        torch.testing.assert_close(x.flip(-1), other, atol=1e-6, rtol=0)


def test_a_resumed_training_draws_the_same() -> None:
    pipeline = fused(onthefly.augment.image((3, 8, 8), salt_and_pepper=0.1))

    def loader() -> Any:
        return onthefly.wrap(
            DataLoader(TensorDataset(FLOATS, LABELS), 8, shuffle=True), balance="uniform", augment=pipeline
        )

    first = loader()
    batches = iter(first)
    next(batches)
    state = first.state_dict()
    again = loader()
    again.load_state_dict(state)
    for (x, _), (other, _) in zip(batches, again, strict=True):
        assert torch.equal(x, other)


def test_normalisation_is_undone_before_and_done_after() -> None:
    norm = Normalization((0.5,), (0.25,))
    seen = as_augment(fused([K.RandomInvert(p=1.0)]), norm)([norm.apply(FLOATS), LABELS], None)
    torch.testing.assert_close(seen[0], norm.apply(1 - FLOATS), atol=1e-5, rtol=0)


def test_bytes_that_are_said_to_be_normalised_are_refused() -> None:
    loader = DataLoader(TensorDataset(BYTES, LABELS), 8)
    with pytest.raises(ValueError, match="takes uint8 too, of datasets that don't normalise"):
        onthefly.wrap(loader, augment=flip(), normalized=(0.5, 0.5))


def test_bytes_for_kornia_itself_are_refused_and_the_way_out_told() -> None:
    with pytest.raises(ValueError, match=r"onthefly.augment.fused\(pipeline\) takes uint8"):
        onthefly.wrap(DataLoader(TensorDataset(BYTES, LABELS), 8), augment=K.RandomHorizontalFlip())


def test_floats_beyond_one_are_refused_as_ever() -> None:
    with pytest.raises(ValueError, match=r"expected images in \[0, 1\]"):
        onthefly.wrap(DataLoader(TensorDataset(FLOATS * 9, LABELS), 8), augment=flip())


def test_a_generator_of_floats_does_not_fit_bytes() -> None:
    with pytest.raises(ValueError, match="uint8"):
        onthefly.wrap(
            DataLoader(TensorDataset(BYTES, LABELS), 8, shuffle=True),
            CountingGenerator((3, 8, 8), classes=2),
            augment=flip(),
        )


def test_a_mask_that_would_stay_is_told() -> None:
    loader = DataLoader(TensorDataset(FLOATS, FLOATS[:, :1] > 0.5, LABELS), 8)
    with pytest.warns(UserWarning, match="it moves the image, but not"):
        onthefly.wrap(loader, augment=flip())


def test_what_the_image_is_among_floats_and_bytes() -> None:
    mask = torch.zeros(2, 3, 8, 8)
    for batch, place in (([BYTES[:2], mask], 0), ([mask, BYTES[:2]], 0), ([LABELS, mask, mask.byte()], 1)):
        found = on_image(batch, lambda image: image + 1, ndim=4, or_bytes=True)
        assert [torch.equal(one, other) for one, other in zip(found, batch, strict=True)].index(False) == place
    with pytest.raises(ValueError, match="found none"):
        on_image([BYTES], nn.Identity(), ndim=4)
