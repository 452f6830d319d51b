"""The public surface, pinned: a name that goes, or an argument that changes, breaks somebody's script."""

import inspect
from pathlib import Path
from typing import Any

import pytest

import onthefly
import onthefly.reading

NAMES: dict[Any, set[str]] = {
    onthefly: {
        "DeviceCollate",
        "HostCollate",
        "MixInfo",
        "MixLoader",
        "MixPlan",
        "SyntheticMixDataset",
        "augment",
        "balance",
        "evidence",
        "generators",
        "load",
        "replay",
        "schedule",
        "testing",
        "wrap",
    },
    onthefly.augment: {"as_augment", "fused", "image"},
    onthefly.balance: {"Balance", "EffectiveNumber", "Power"},
    onthefly.evidence: {"Bench", "bench", "si_sdr", "snr"},
    onthefly.generators: {
        "FrozenGenerator",
        "Privacy",
        "contact_sheet",
        "from_diffusers",
        "distill",
        "draw_waves",
        "from_module",
        "from_transformers",
        "load",
        "read_card",
        "save",
        "sign",
        "train",
        "verify",
        "wave_sheet",
        "with_fields",
        "write_waves",
    },
    onthefly.reading: {
        "Clips",
        "Named",
        "Noisy",
        "Pictures",
        "Rows",
        "Samples",
        "Texts",
        "check_classes",
        "read",
        "split",
    },
    onthefly.schedule: {"Cosine", "Feedback", "Fill", "Linear", "Schedule", "Steps"},
}
ARGUMENTS = {
    onthefly.wrap: "loader generator balance ratio epochs seed labels augment normalized device tag "
    "shard counts length sharded top_up",
    onthefly.MixPlan: "labels batch_size balance ratio epochs seed drop_last classes sources reuse",
    onthefly.SyntheticMixDataset: "dataset plan sampler",
    onthefly.DeviceCollate: "generator augment device collate_fn normalized tag weight example window dataset",
    onthefly.load: "path device reuse max_overhead on_fault batch_size dtype compile attributes sha256 "
    "public_key sampling",
    onthefly.generators.from_module: "module latent classes value_range call",
    onthefly.generators.from_diffusers: "folder steps guidance strength scheduler eta size classes prompts negative "
    "batch_size device",
    onthefly.generators.from_transformers: "folder prompts classes max_tokens temperature top_k top_p batch_size "
    "device",
    onthefly.generators.FrozenGenerator.sample: "self labels keys sources",
    onthefly.MixPlan.epoch: "self epoch",
    onthefly.reading.read: "source options",
    onthefly.reading.Pictures: "folder size grey pattern",
    onthefly.reading.Clips: "folder rate seconds pattern",
    onthefly.reading.Rows: "file label categorical attributes columns classes header",
    onthefly.reading.Texts: "file label text attributes header",
    onthefly.reading.Named: "name data which size grey",
    onthefly.reading.Noisy: "clips rows snr noises seed",
    onthefly.reading.split: "dataset share seed labels",
    onthefly.reading.check_classes: "dataset labels",
    onthefly.replay: "manifest epoch slot generator dataset labels",
    onthefly.MixLoader.load_state_dict: "self state longer",
    onthefly.MixLoader.feedback: "self scores",
    onthefly.MixLoader.explain: "self",
    onthefly.MixPlan.explain: "self",
    onthefly.evidence.bench: "loader step seconds rounds share contenders beside out progress",
}


@pytest.mark.parametrize("module", NAMES, ids=lambda module: module.__name__)
def test_names(module: Any) -> None:
    assert set(module.__all__) == NAMES[module]
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("call", ARGUMENTS, ids=lambda call: call.__qualname__)
def test_arguments(call: Any) -> None:
    assert list(inspect.signature(call).parameters) == ARGUMENTS[call].split()


@pytest.mark.parametrize("module", NAMES, ids=lambda module: module.__name__)
def test_everything_public_is_documented(module: Any) -> None:
    for name in module.__all__:
        thing = getattr(module, name)
        assert inspect.getdoc(thing), name
        for method, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not method.startswith("_") and callable(value):
                assert inspect.getdoc(getattr(thing, method)), f"{name}.{method}"


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(onthefly.__path__[0], "py.typed").exists()
