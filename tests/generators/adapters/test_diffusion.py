"""Pipelines of diffusers: their real classes, with tiny networks."""

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms.functional import resize

import onthefly
from onthefly.generators import from_diffusers, save
from onthefly.generators.adapters.keyed import KeyedNoise
from onthefly.generators.identity import identity
from tests.generators.adapters.models import save_consistency, save_dit, save_pixels, save_stable

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers and numpy 2

LABELS, KEYS = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([5, 6, 7, 8, 2**40])
PROMPTS = {"cat": ("a cat", "the cat"), "dog": "a dog", "eel": "an eel"}
SOURCES = [torch.rand(5, 3, 6, 6, generator=torch.Generator().manual_seed(0)), LABELS]
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("dit", {"steps": 3}),
    ("dit", {"steps": 3, "guidance": 1, "scheduler": "DPMSolverMultistepScheduler"}),
    ("dit", {"steps": 3, "strength": 0.5}),
    ("consistency", {}),
    ("consistency", {"steps": 2}),
    ("pixels", {"steps": 3}),
    ("pixels", {"steps": 3, "scheduler": "DDIMScheduler", "eta": 1.0, "size": (4, 12)}),
    ("stable", {"steps": 3, "prompts": PROMPTS}),
    ("stable", {"steps": 3, "prompts": PROMPTS, "negative": "bad", "scheduler": "EulerAncestralDiscreteScheduler"}),
    ("stable", {"steps": 3, "prompts": "a {}", "classes": ("cat", "dog", "eel"), "strength": 0.5, "size": 12}),
    ("latent", {"prompts": PROMPTS}),
    ("latent", {"prompts": PROMPTS, "strength": 0.6}),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    saved = {
        "dit": save_dit(root / "dit"),
        "consistency": save_consistency(root / "consistency"),
        "pixels": save_pixels(root / "pixels"),
        "stable": save_stable(root / "stable"),
        "latent": save_stable(root / "latent", latent_consistency=True),
    }
    assert not any(file.suffix in (".bin", ".pt") for file in root.rglob("*"))
    return saved


def some(sources: Any, rows: slice) -> Any:
    return None if sources is None else [part[rows] for part in sources]


@pytest.mark.parametrize(
    ("name", "options"), SETTINGS, ids=[f"{name}-{place}" for place, (name, _) in enumerate(SETTINGS)]
)
def test_a_sample_is_its_key(folders: dict[str, Path], name: str, options: dict[str, Any]) -> None:
    before = torch.random.get_rng_state()
    gen = from_diffusers(folders[name], **options)
    weights = copy.deepcopy(gen.network.state_dict())
    sources = SOURCES if gen.wants_source else None
    labels = LABELS % gen.classes.count
    assert gen.wants_source == ("strength" in options)
    among = gen.batch(labels, KEYS, sources)[0]
    assert among.shape[1:] == gen.spec.fields["image"].shape
    assert (among.std(dim=0) > 1e-3).any()
    alone = [
        gen.sample(labels[rows], KEYS[rows], some(sources, rows)) for rows in (slice(row, row + 1) for row in range(5))
    ]
    assert torch.allclose(torch.cat(alone), among, atol=1e-5, rtol=0)
    assert torch.allclose(gen.running(batch_size=2).sample(labels, KEYS, sources), among, atol=1e-5, rtol=0)
    if gen.classes.count > 1:
        assert not torch.allclose(gen.sample((labels + 1) % 3, KEYS, sources), among, atol=1e-3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(tensor, weights[key]) for key, tensor in gen.network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in gen.network.parameters())
    assert not among.is_inference()


@pytest.mark.parametrize("sources", [[part[:0] for part in SOURCES], []], ids=["a batch", "a list"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_no_samples_of_no_sources(folders: dict[str, Path], sources: Any, batch_size: int | None) -> None:
    gen = from_diffusers(folders["pixels"], steps=2, strength=0.5, batch_size=batch_size)
    made = gen.sample(LABELS[:0], KEYS[:0], sources)
    assert made.shape == (0, 3, 8, 8)
    assert made.dtype == torch.float32


def theirs(folder: Path, keys: Tensor, scheduler: Any = None, **options: Any) -> Tensor:
    """The library's own pipeline, with the noise that is drawn in it keyed."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    pipeline.scheduler = pipeline.scheduler if scheduler is None else scheduler
    pipeline.set_progress_bar_config(disable=True)
    with KeyedNoise(keys):
        images = pipeline(output_type="np", **options).images
    return torch.from_numpy(images).movedim(3, 1)


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=2e-5, rtol=0)


def test_samples_are_those_of_the_librarys_own_pipelines(folders: dict[str, Path]) -> None:
    gen = from_diffusers(folders["dit"], steps=4, guidance=1)
    expected = theirs(folders["dit"], KEYS, class_labels=LABELS.tolist(), num_inference_steps=4, guidance_scale=1)
    assert close(gen.sample(LABELS, KEYS), expected)
    for steps in (1, 2):
        expected = theirs(folders["consistency"], KEYS, batch_size=5, class_labels=LABELS, num_inference_steps=steps)
        assert close(from_diffusers(folders["consistency"], steps=steps).sample(LABELS, KEYS), expected)
    expected = theirs(folders["pixels"], KEYS, batch_size=5, num_inference_steps=4)
    assert close(from_diffusers(folders["pixels"], steps=4).sample(LABELS * 0, KEYS), expected)


def test_text_to_image_is_that_of_the_librarys_own_pipeline(folders: dict[str, Path]) -> None:
    texts = ["a cat", "a dog", "an eel"]
    told = {"prompt": [texts[label] for label in LABELS.tolist()], "num_inference_steps": 4}
    prompts = dict(enumerate(texts))
    scheduler = diffusers.EulerAncestralDiscreteScheduler(steps_offset=1)
    gen = from_diffusers(folders["stable"], steps=4, prompts=prompts, negative="bad", guidance=3, scheduler=scheduler)
    expected = theirs(folders["stable"], KEYS, scheduler, **told, negative_prompt=["bad"] * 5, guidance_scale=3)
    assert close(gen.sample(LABELS, KEYS), expected)
    gen = from_diffusers(folders["latent"], prompts=prompts)
    assert close(gen.sample(LABELS, KEYS), theirs(folders["latent"], KEYS, **told))


def test_image_to_image_is_that_of_the_librarys_own_pipeline(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(folders["stable"], use_safetensors=True)
    pipeline = diffusers.StableDiffusionImg2ImgPipeline(**loaded.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with KeyedNoise(KEYS):
        made = pipeline(["a cat"] * 5, images, strength=0.6, num_inference_steps=5, output_type="np").images
    pipeline.save_pretrained("img2img")
    gen = from_diffusers("img2img", steps=5, strength=0.6, prompts={"cat": "a cat"})
    assert close(gen.sample(LABELS * 0, KEYS, [images, LABELS]), torch.from_numpy(made).movedim(3, 1))
    assert from_diffusers("img2img", steps=5, prompts={"cat": "a cat"}).wants_source


def test_guidance_goes_further_than_asked(folders: dict[str, Path]) -> None:
    made = [from_diffusers(folders["dit"], steps=4, guidance=guidance).sample(LABELS, KEYS) for guidance in (0, 1, 2)]
    assert torch.allclose(made[0], from_diffusers(folders["dit"], steps=4, guidance=0).sample(LABELS * 0, KEYS))
    assert not torch.allclose(made[1], made[2], atol=1e-2)


def test_names_of_classes(folders: dict[str, Path]) -> None:
    assert from_diffusers(folders["dit"], steps=1).classes.names == ("cat", "crane (1)", "crane (2)")
    assert from_diffusers(folders["dit"], steps=1, classes=("a", "b", "c")).classes.number("b") == 1
    assert from_diffusers(folders["pixels"], steps=1, classes=("face",)).classes.names == ("face",)
    assert from_diffusers(folders["stable"], steps=1, prompts=PROMPTS).classes.names == ("cat", "dog", "eel")


def test_the_text_encoder_is_gone_once_prompts_are_embedded(folders: dict[str, Path]) -> None:
    gen = from_diffusers(folders["stable"], steps=1, prompts=PROMPTS, negative="bad")
    assert {type(part).__name__ for part in gen.network.children()} == {
        "Prompts",
        "UNet2DConditionModel",
        "AutoencoderKL",
    }
    assert gen.network.embeddings.shape == (5, 24, 8)  # four prompts, and what to keep away from


def test_weights_in_half_precision_are_used_in_float32(folders: dict[str, Path]) -> None:
    half = diffusers.DDPMPipeline.from_pretrained(folders["pixels"], use_safetensors=True).to(torch.float16)
    half.save_pretrained("half", variant="fp16")
    gen = from_diffusers("half", steps=2)
    assert {parameter.dtype for parameter in gen.network.parameters()} == {torch.float32}
    assert gen.sample(LABELS * 0, KEYS).dtype == torch.float32


def test_how_it_runs_is_part_of_which_generator_it_is(folders: dict[str, Path]) -> None:
    one, other = (from_diffusers(folders["dit"], steps=steps) for steps in (2, 3))
    assert identity(one) == identity(from_diffusers(folders["dit"], steps=2))
    assert identity(one)["sha256"] != identity(other)["sha256"]


def test_a_mix_of_styles(folders: dict[str, Path]) -> None:
    """Real images of one size, synthetic ones made of them by prompt, and brought back to that size."""
    data = TensorDataset(torch.rand(12, 3, 6, 6), torch.arange(12) % 3)
    gen = from_diffusers(folders["stable"], steps=2, strength=0.5, prompts={0: "a cat", 1: "a dog", 2: "an eel"})
    gen.batch_size = 8
    back = gen.map(lambda image, label: (resize(image, [6, 6]).clamp(0, 1), label))
    loader = onthefly.wrap(DataLoader(data, batch_size=6, shuffle=True), back, ratio=0.5, device="cpu", tag=True)
    seen = 0
    for images, labels, info in loader:
        for place in info.synthetic.nonzero()[:, 0].tolist():
            row = int(info.source[place])
            alone = back.batch(labels[place][None], info.key[place][None], [part[row][None] for part in data.tensors])
            assert torch.allclose(alone[0][0], images[place], atol=1e-5, rtol=0)
            assert data.tensors[1][row] == labels[place]
            seen += 1
    assert seen == 6


def index_of(folder: Path, **changed: Any) -> Path:
    copied = Path("changed").absolute()
    shutil.copytree(folder, copied, dirs_exist_ok=True)
    index = json.loads((copied / "model_index.json").read_text())
    (copied / "model_index.json").write_text(json.dumps({**index, **changed}))
    return copied


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"_class_name": "FluxPipeline"}, ("DiTPipeline, StableDiffusionPipeline", "FluxPipeline", "from_module()")),
        ({"_class_name": ["pipeline", "Mine"]}, ("expected one of", "['pipeline', 'Mine']")),
        ({"transformer": ["my_code", "DiTTransformer2DModel"]}, ("as transformer", "of my_code", "was loaded")),
        ({"transformer": ["diffusers", "FluxTransformer2DModel"]}, ("DiTTransformer2DModel", "FluxTransformer2DModel")),
        ({"vae": [None, None]}, ("as vae", "[None, None]")),
        ({"scheduler": ["my_code", "Scheduler"]}, ("a scheduler of diffusers", "Scheduler of my_code")),
        ({"scheduler": ["diffusers", "NoSuchScheduler"]}, ("scheduler", "'NoSuchScheduler'")),
        ({"trust_remote_code": True}, ("without code", "trust_remote_code")),
    ],
)
def test_folders_that_are_refused(
    folders: dict[str, Path], changed: dict[str, Any], words: tuple[str, ...], refused: Any
) -> None:
    refused(lambda: from_diffusers(index_of(folders["dit"], **changed)), *words)


def test_pickles_are_refused(folders: dict[str, Path], refused: Any) -> None:
    folder = index_of(folders["dit"])
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    refused(lambda: from_diffusers(folder), "expected safetensors", "model.bin", "safe_serialization=True")


def without(file: Path, name: str) -> None:
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file, {"format": "pt"})


def set_in(file: Path, **changed: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: without(path / "unet" / WEIGHTS, "conv_in.bias"), ("a UNet2DModel", "without conv_in.bias")),
        (lambda path: (path / "unet" / WEIGHTS).write_bytes(b"x" * 64), ("a UNet2DModel", "doesn't load")),
        (lambda path: (path / "unet" / "config.json").unlink(), ("a UNet2DModel", "doesn't load")),
        (lambda path: set_in(path / "unet" / "config.json", norm_num_groups=0), ("a UNet2DModel", "doesn't load")),
        (lambda path: set_in(path / "unet" / "config.json", in_channels=4), ("a UNet2DModel", "doesn't load")),
        (lambda path: (path / "scheduler" / "scheduler_config.json").unlink(), ("a DDPMScheduler", "doesn't load")),
        (lambda path: (path / "scheduler" / "scheduler_config.json").write_text("[]"), ("names and values", "list")),
        (lambda path: (path / "model_index.json").write_text("[]"), ("names and values", "list")),
    ],
)
def test_folders_that_are_broken(folders: dict[str, Path], harm: Any, words: tuple[str, ...], refused: Any) -> None:
    folder = index_of(folders["pixels"])
    harm(folder)
    refused(lambda: from_diffusers(folder, steps=2), "from_diffusers: expected", *words, "copy")


def test_broken_tokenizers_and_text_encoders(folders: dict[str, Path], refused: Any) -> None:
    folder = index_of(folders["stable"])
    without(folder / "text_encoder" / "model.safetensors", "final_layer_norm.bias")
    refused(lambda: from_diffusers(folder, steps=2, prompts=PROMPTS), "a CLIPTextModel", "final_layer_norm.bias")
    (folder / "tokenizer" / "tokenizer.json").write_text("[]")
    refused(lambda: from_diffusers(folder, steps=2, prompts=PROMPTS), "a tokenizer", "doesn't load")
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    refused(lambda: from_diffusers(folder, steps=2, prompts=PROMPTS), "a tokenizer", "found none")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (f"unet/{WEIGHTS}", "conv_in.bias"),
        (f"vae/{WEIGHTS}", "decoder.conv_out.weight"),
        ("text_encoder/model.safetensors", "final_layer_norm.bias"),
    ],
)
def test_weights_that_are_not_finite(folders: dict[str, Path], file: str, name: str, refused: Any) -> None:
    folder = index_of(folders["stable"])
    tensors = load_file(folder / file)
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, folder / file, {"format": "pt"})
    refused(lambda: from_diffusers(folder, prompts=PROMPTS), "from_diffusers: expected finite weights", name)


@pytest.mark.parametrize("labels", [[1, 2, 3], "cat", {"a": "cat"}, {"0": "cat"}, 3])
def test_names_that_are_no_names(folders: dict[str, Path], labels: Any) -> None:
    assert from_diffusers(index_of(folders["dit"], id2label=labels), steps=1).classes.names is None


def test_networks_of_no_size(folders: dict[str, Path], refused: Any) -> None:
    folder = index_of(folders["pixels"])
    set_in(folder / "unet" / "config.json", sample_size=None)
    refused(lambda: from_diffusers(folder, steps=1), "size", "None", "size=512")
    assert from_diffusers(folder, steps=1, size=8).spec.fields["image"].shape == (3, 8, 8)


LONG = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("dit", {"prompts": "a {}"}, ("classes, guidance", "DiTPipeline", "prompts")),
        ("dit", {"size": 16}, ("size", "leave it out")),
        ("consistency", {"guidance": 2}, ("guidance", "ConsistencyModelPipeline")),
        ("dit", {"guidance": -1}, ("guidance", "-1")),
        ("dit", {"classes": ("cat", "dog")}, ("classes", "3", "cat, dog")),
        ("dit", {"scheduler": "Sampler"}, ("scheduler", "'Sampler'", "scheduler='DPM")),
        ("dit", {"scheduler": "AmusedScheduler"}, ("scheduler", "AmusedScheduler", "DDIMScheduler", "that you made")),
        ("dit", {"strength": 2}, ("strength", "(0, 1]", "2")),
        ("consistency", {"strength": 0.5}, ("strength=0.5", "1 steps", "steps=2")),
        ("stable", {}, ("prompts", "StableDiffusionPipeline", "prompts={'cat'")),
        ("stable", {"prompts": {"cat": LONG}}, ("prompts", "24 tokens", "28", LONG, "shorter")),
        ("stable", {"prompts": PROMPTS, "classes": ("cat", "dog", "eel", "fox")}, ("prompts", "none for fox")),
        ("stable", {"prompts": PROMPTS, "size": 9}, ("size", "multiples of 2", "9 x 9", "size=8")),
        ("pixels", {"size": 0}, ("size", "0")),
        ("pixels", {"batch_size": 0}, ("batch_size", "0")),
    ],
)
def test_bad_input(
    folders: dict[str, Path], name: str, options: dict[str, Any], words: tuple[str, ...], refused: Any
) -> None:
    refused(lambda: from_diffusers(folders[name], **{"steps": 1, **options}), *words)


def test_what_it_cannot_do(folders: dict[str, Path], refused: Any) -> None:
    gen = from_diffusers(folders["pixels"], steps=1)
    refused(lambda: gen.running(dtype="bfloat16"), "running", "DiffusersGenerator", error=TypeError)
    refused(lambda: save(gen, "x.safetensors"), "save", "DiffusersGenerator")
    source = from_diffusers(folders["pixels"], steps=2, strength=0.5)
    refused(lambda: source.sample(LABELS * 0, KEYS), "sources", "None")


def test_without_diffusers(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    refused(
        lambda: from_diffusers(folders["pixels"]),
        "diffusers could not be imported",
        'pip install "onthefly-torch[diffusion]"',
        error=ImportError,
    )
