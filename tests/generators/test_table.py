"""Tables: mixed rows in, mixed rows out."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset, TensorDataset

import onthefly
from onthefly.data.columns import Column
from onthefly.data.spec import Field
from onthefly.generators import load, save, train
from onthefly.generators.table import Table
from onthefly.reading.split import held_out

NAN = float("nan")
COLUMNS = (
    Column("size", "numeric"),
    Column("age", "integer"),
    Column("colour", "categorical", ("red", "green", "blue")),
    Column("price", "numeric"),
)


class Pets(TensorDataset):
    columns = COLUMNS
    classes = ("cat", "dog")


def pets(count: int = 400) -> Pets:
    """Cats are young and red or green; dogs are old and blue, and their price is often missing."""
    draw = torch.Generator().manual_seed(0)
    label = torch.arange(count) % 2
    age = torch.where(label == 1, 10, 2) + torch.randint(0, 3, (count,), generator=draw)
    colour = torch.where(label == 1, 2, torch.randint(0, 2, (count,), generator=draw)).float()
    colour[torch.rand(count, generator=draw) < 0.1] = NAN
    price = torch.randn(count, generator=draw).exp()
    price[(label == 1) & (torch.rand(count, generator=draw) < 0.6)] = NAN
    size = 3 * label + torch.randn(count, generator=draw)
    return Pets(torch.stack([size, age.float(), colour, price], dim=1), label)


def table_of(data: Pets) -> tuple[Table, Tensor]:
    rows = data.tensors[0]
    return Table.fit(Field((4,), "float32"), list(rows), data), rows


def same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_rows_come_back_from_a_card_too() -> None:
    table, rows = table_of(pets())
    assert table.shape == (1 + 1 + 4 + 2,)
    assert table.field.missing
    encoded = table.encode(rows)
    assert encoded.isfinite().all()
    assert same(table.decode(encoded), rows)
    again = Table.from_json(Field((4,), "float32"), json.loads(json.dumps(table.to_json())))
    assert torch.equal(again.encode(rows), encoded)
    assert again.columns == COLUMNS


def test_jittered_rows_are_others_that_come_back_as_the_same() -> None:
    table, rows = table_of(pets())
    encoded = table.encode(rows)
    jittered = table.jitter(encoded)
    assert same(table.decode(jittered), rows)
    assert (jittered[:, 2:] != encoded[:, 2:]).any(dim=0).all()


def test_whatever_a_network_makes_is_a_row() -> None:
    table, rows = table_of(pets())
    made = table.decode(20 * torch.randn(500, 8, generator=torch.Generator().manual_seed(1)))
    for place in range(4):
        there, seen = made[:, place][made[:, place].isfinite()], rows[:, place][rows[:, place].isfinite()]
        assert there.min() >= seen.min()
        assert there.max() <= seen.max()
    assert not made[:, :2].isnan().any()
    assert set(made[:, 1].tolist()) <= set(map(float, range(2, 13)))
    assert set(made[:, 2].nan_to_num(-1).tolist()) == {-1.0, 0.0, 1.0, 2.0}


@pytest.mark.parametrize("family", ["vae", "flow"])
def test_synthetic_rows_have_what_their_class_has(family: str) -> None:
    data = pets()
    made = train(family, data, steps=150, config={"width": 8}, progress=False)
    made = load(save(made, "pets.safetensors"))
    labels = torch.arange(400) % 2
    rows, dog = made.batch(labels, torch.arange(400))[0], labels == 1
    assert rows[dog, 1].mean() > 8
    assert rows[~dog, 1].mean() < 6
    assert (rows[dog, 2] == 2).float().mean() > 0.6
    assert (rows[~dog, 2] == 2).float().mean() < 0.2
    assert 0.3 < rows[dog, 3].isnan().float().mean() < 0.9
    assert rows[~dog, 3].isnan().float().mean() < 0.15
    alone = made.sample(labels[7:8], torch.tensor([7]))
    assert same(alone[0], rows[7])


def test_a_loader_mixes_rows_with_missing_values() -> None:
    data = pets(64)
    made = train("vae", data, steps=20, config={"width": 4}, progress=False)
    loader = onthefly.wrap(DataLoader(data, batch_size=16, shuffle=True), made, ratio=0.5, seed=1)
    batches = list(loader)
    assert all(rows.shape == (16, 4) and not rows.isinf().any() for rows, _ in batches)
    named = made.map(lambda row, label: {"row": row, "label": label}).batch(torch.ones(9).long(), torch.arange(9))
    assert named["row"].shape == (9, 4)


def test_a_value_may_be_missing_in_a_row_held_out_alone() -> None:
    labels = np.arange(40) % 2
    rows = torch.rand(40, 2)
    rows[int(np.flatnonzero(held_out(labels, 0.5, 0))[0]), 1] = NAN
    made = train("vae", TensorDataset(rows, torch.from_numpy(labels)), steps=2, held_out=0.5, progress=False)
    assert made.spec.field.missing


def test_a_part_of_a_dataset_has_its_columns() -> None:
    data = Subset(pets(), range(100))
    made = train("vae", data, labels=torch.arange(100) % 2, steps=1, config={"width": 4}, progress=False)
    assert [one["column"]["name"] for one in made.card["coding"]["columns"]] == ["size", "age", "colour", "price"]  # type: ignore[index]


def test_names_that_are_no_columns_are_left_alone() -> None:
    class Named(TensorDataset):
        columns = ("a", "b")

    rows = torch.rand(5, 3)
    assert [one.name for one in Table.fit(Field((3,), "float32"), list(rows), Named(rows)).columns] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.0, 1.0, 3.0, 1.0], ("a category from 0 to 2, or NaN,", "column 'colour'", "found 3 in row 1 of 2")),
        ([0.0, 1.0, 0.5, 1.0], ("column 'colour'", "found 0.5")),
        ([0.0, 1.0, -1.0, 1.0], ("column 'colour'", "found -1")),
        ([0.0, float("inf"), 1.0, 1.0], ("a finite number", "column 'age'", "found inf in row 1 of 2")),
        ([0.0, 1.0, 1.0, float("-inf")], ("a finite number, or NaN,", "column 'price'", "found -inf")),
        ([NAN, 1.0, 1.0, 1.0], ("a finite number", "column 'size'", "found nan", "[nan, 1.0, 1.0, 1.0]")),
    ],
)
def test_what_is_no_such_row_is_refused(row: list[float], words: tuple[str, ...], refused: Any) -> None:
    table, rows = table_of(pets())
    refused(lambda: table.encode(torch.stack([rows[0], torch.tensor(row)])), "table: expected", *words)


def test_a_table_that_cannot_be_fitted_is_refused(refused: Any) -> None:
    data = pets(20)
    data.tensors[0][:, 3] = NAN
    refused(lambda: table_of(data), "expected a number in column 'price'", "none in 20 rows")
    data = pets(20)
    data.tensors[0][3, 0] = float("inf")
    refused(lambda: train("vae", data, steps=1, progress=False), "column 'size'", "found inf")
    wide = Pets(torch.rand(4, 3), torch.arange(4))
    refused(
        lambda: Table.fit(Field((3,), "float32"), list(wide.tensors[0]), wide),
        "for each of 3",
        "size, age",
        "Pets.columns",
    )
