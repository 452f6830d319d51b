"""Running an augmentation on a batch."""

import pickle
from collections import OrderedDict, UserDict, namedtuple
from typing import Any

import kornia.augmentation as K
import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from onthefly.augment import as_augment
from onthefly.augment.apply import is_kornia
from onthefly.data.normalize import Normalization

IMAGES = torch.rand(4, 3, 6, 6)
LABELS = torch.arange(4)
FAKES = torch.tensor([True, False, False, True])
FLIPPED = IMAGES.flip(-1)
Pair = namedtuple("Pair", "image label")


def flip(**options: Any) -> K.AugmentationSequential:
    return K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0), **options)


def run(augment: Any, batch: Any) -> Any:
    return as_augment(augment)(batch, FAKES)


def test_a_callable_gets_the_batch() -> None:
    assert run(lambda batch: batch[::-1], [1, 2]) == [2, 1]
    assert run(None, [1, 2]) == [1, 2]


@pytest.mark.parametrize(
    "pipeline", [flip(data_keys=["input"]), K.RandomHorizontalFlip(p=1.0), nn.Sequential(K.RandomHorizontalFlip(p=1.0))]
)
@pytest.mark.parametrize(
    "batch", [[IMAGES, LABELS], (LABELS, IMAGES), {"labels": LABELS, "pixel_values": IMAGES}, Pair(IMAGES, LABELS)]
)
def test_a_kornia_pipeline_of_images_gets_the_image_wherever_it_is(pipeline: Any, batch: Any) -> None:
    changed = run(pipeline, batch)
    assert type(changed) is type(batch)
    parts = changed.values() if isinstance(changed, dict) else changed
    assert sorted((torch.equal(part, FLIPPED), torch.equal(part, LABELS)) for part in parts) == [
        (False, True),
        (True, False),
    ]


def test_data_keys_name_the_parts_in_order() -> None:
    mask = torch.zeros(4, 1, 6, 6)
    mask[..., 0] = 1
    changed = run(flip(data_keys=["input", "mask"]), [IMAGES, mask, LABELS])
    assert torch.equal(changed[0], FLIPPED)
    assert torch.equal(changed[1], mask.flip(-1))
    assert torch.equal(changed[2], LABELS)


def test_a_dict_by_kornia_s_own_names() -> None:
    mask = torch.zeros(4, 1, 6, 6)
    changed = run(flip(data_keys=None), {"image": IMAGES, "mask": mask, "extra": "kept"})
    assert torch.equal(changed["image"], FLIPPED)
    assert changed["extra"] == "kept"


def test_other_modules_get_the_batch() -> None:
    images, labels = run(v2.RandomHorizontalFlip(p=1.0), [IMAGES, LABELS])
    assert torch.equal(images, FLIPPED)
    assert torch.equal(labels, LABELS)


def plus(number: int) -> Any:
    return lambda batch: [batch[0] + number, batch[1]]


@pytest.mark.parametrize(
    ("augment", "added"),
    [
        ({"synthetic": plus(1)}, [1, 0, 0, 1]),
        ({"real": plus(1)}, [0, 1, 1, 0]),
        ({"real": plus(1), "synthetic": plus(2)}, [2, 1, 1, 2]),
    ],
)
def test_one_side_or_each_its_own(augment: Any, added: list[int]) -> None:
    images, labels = run(augment, [IMAGES, LABELS])
    assert torch.allclose(
        images - IMAGES, torch.tensor(added).float()[:, None, None, None].expand_as(images), atol=1e-6
    )
    assert torch.equal(labels, LABELS)


@pytest.mark.parametrize("fakes", [torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)])
def test_a_side_without_samples_is_not_augmented(fakes: Tensor) -> None:
    seen: list[int] = []
    count = lambda batch: (seen.append(len(batch[0])), batch)[1]  # noqa: E731
    as_augment({"real": count, "synthetic": count})([IMAGES, LABELS], fakes)
    assert seen == [4]


def test_what_is_kornia_s() -> None:
    assert is_kornia({"real": nn.Sequential(nn.Identity(), K.RandomHorizontalFlip())})
    assert not is_kornia(v2.RandomHorizontalFlip())
    assert not is_kornia(None)


@pytest.mark.parametrize(
    ("augment", "batch", "words"),
    [
        ("flip", None, ("augment", "callable", "'flip'")),
        ({"fake": None}, None, ("'real'", "'synthetic'", "['fake']")),
        ({}, None, ("'real'", "'synthetic'")),
        (flip(data_keys=["input"]), [LABELS], ("float[N, C, H, W]", "found none in [int64[4]]")),
        (flip(data_keys=["input", "mask"]), {"image": IMAGES}, ("2 parts", "dict", "data_keys=None")),
        (flip(data_keys=["input", "mask"]), [IMAGES], ("2 parts",)),
        (flip(data_keys=None), [IMAGES], ("Kornia knows", "[float32[4, 3, 6, 6]]", 'data_keys=["image"]')),
        (flip(data_keys=None), {"pixel_values": IMAGES}, ("Kornia knows", "{'pixel_values': float32")),
    ],
)
def test_bad_input(augment: Any, batch: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: run(augment, batch), "augment: expected", "found", *words)


@pytest.mark.parametrize("fakes", [FAKES, ~FAKES, torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)])
def test_one_side_leaves_the_batch_its_containers(fakes: Tensor) -> None:
    def tupled(batch: Any) -> Any:
        return batch[0] + 1, batch[1]

    images, labels = as_augment({"synthetic": tupled})(Pair(IMAGES, LABELS), fakes)
    assert type(as_augment({"synthetic": tupled})([IMAGES, LABELS], fakes)) is list
    assert torch.equal(images, IMAGES + fakes[:, None, None, None])
    assert torch.equal(labels, LABELS)


def test_sides_that_make_no_batch_are_refused(refused: Any) -> None:
    halved = as_augment({"synthetic": lambda batch: [batch[0].half(), batch[1]]})
    refused(lambda: halved([IMAGES, LABELS], FAKES), "augment: expected", "float32[2, 3, 6, 6]", "found", "float16")


def test_one_side_of_what_has_no_rows_is_refused(refused: Any) -> None:
    detection = (tuple(IMAGES), tuple(LABELS))
    refused(lambda: run({"synthetic": plus(1)}, detection), "batch: expected", "4 rows", "one callable for all")


def test_normalisation_is_undone_for_the_side_that_is_augmented_alone() -> None:
    seen: list[Tensor] = []
    change = as_augment({"synthetic": lambda batch: (seen.append(batch[0]), batch)[1]}, Normalization((0.5,), (0.25,)))
    images, _ = change([(IMAGES - 0.5) / 0.25, LABELS], FAKES)
    assert torch.allclose(seen[0], IMAGES[FAKES], atol=1e-6)
    assert torch.equal(images[~FAKES], ((IMAGES - 0.5) / 0.25)[~FAKES])


def test_a_module_of_one_s_own_gets_the_batch_whatever_is_in_it() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flip = K.RandomHorizontalFlip(p=1.0)

        def forward(self, batch: Any) -> Any:
            return [self.flip(batch[0]), batch[1]]

    assert torch.equal(run(Mine(), [IMAGES, LABELS])[0], FLIPPED)


def test_mappings_of_other_kinds_stay_what_they_are() -> None:
    changed = run(flip(data_keys=None), OrderedDict(image=IMAGES, label=LABELS))
    assert type(changed) is OrderedDict
    changed = run(flip(), UserDict(image=IMAGES, label=LABELS))
    assert type(changed) is UserDict
    assert torch.equal(changed["image"], FLIPPED)


def test_an_augmentation_can_be_pickled() -> None:
    change = pickle.loads(pickle.dumps(as_augment({"real": flip()}, Normalization((0.5,), (0.25,)))))
    images, _ = change([IMAGES, LABELS], FAKES)
    assert torch.allclose(images[~FAKES], FLIPPED[~FAKES], atol=1e-6)
