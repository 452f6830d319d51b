"""Pipelines of ``diffusers`` as frozen generators."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onthefly.data.hermetic import hermetic
from onthefly.data.spec import Spec
from onthefly.generators.adapters.denoising import Denoiser
from onthefly.generators.adapters.folder import Folder
from onthefly.generators.adapters.foreign import ForeignGenerator
from onthefly.generators.adapters.network import Options, Pipeline
from onthefly.generators.adapters.pipelines import check_options, kind_of, scheduler_of
from onthefly.generators.adapters.sources import as_images
from onthefly.generators.running import in_pieces, numbers


class DiffusersGenerator(ForeignGenerator):
    """A pipeline of ``diffusers``, run by a loop of our own, in which all noise is keyed.

    Args:
        network: what its folder held.
        denoiser: the loop.
        card: what is known about it.
        from_source: whether samples are made from real images.
    """

    network: Pipeline

    def __init__(self, network: Pipeline, denoiser: Denoiser, card: Mapping[str, Any], from_source: bool) -> None:
        super().__init__(network, Spec.image(network.image, network.classes), card=card)
        self._denoiser, self.wants_source = denoiser, from_source

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        """``int64[N]`` classes and ``int64[N]`` keys, and real images if it wants them, to images ``float32[N, C, H,
        W]`` in [0, 1]."""
        if self.batch_size is None or not len(keys):
            return self.at_once(labels, keys, sources)
        return in_pieces(self._made, (labels, keys, *self._given(sources, keys)), self.batch_size, padded=False)

    def at_once(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        if not len(keys):  # not every scheduler takes a batch of none
            return torch.empty(0, *self.network.image, device=keys.device)
        return self._made(labels, keys, *self._given(sources, keys))

    def _given(self, sources: Any, keys: Tensor) -> tuple[Tensor, ...]:
        """The images that samples are made from, where they are made from some."""
        return (as_images(sources, self.network.image, keys.device),) if self.wants_source else ()

    @torch.no_grad()
    def _made(self, labels: Tensor, keys: Tensor, *images: Tensor) -> Tensor:
        network = self.network
        with numbers(self.dtype, keys.device):
            told = network.told(labels, keys)
            source = network.encode(images[0]) if images else None
            made = self._denoiser(
                lambda samples, time: network.predict(samples, time, told), keys, network.shape, source
            )
            return network.decode(made)


def from_diffusers(
    folder: str | Path,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    strength: float | None = None,
    scheduler: Any = None,
    eta: float | None = None,
    size: int | tuple[int, int] | None = None,
    classes: Any = None,
    prompts: Any = None,
    negative: str | None = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
) -> DiffusersGenerator:
    """A pipeline of ``diffusers`` as a frozen generator, from a folder that ``save_pretrained`` wrote.

    Only safetensors are read, and only classes of ``diffusers`` and ``transformers`` are made: nothing that the folder
    brings is run. The loop is ours, so that the noise of every step is a function of each sample's key: the scheduler
    is asked for one step after the other, without a look at the device. Weights are used in float32. A safety checker
    is not loaded.

    Args:
        folder: on this machine: a DiTPipeline, DDPMPipeline, DDIMPipeline, ConsistencyModelPipeline,
            StableDiffusionPipeline or LatentConsistencyModelPipeline, or image-to-image forms of the last two.
        steps: of the loop; by default 50, 1 of a consistency model, 4 of a latent one.
        guidance: classifier-free guidance, where there is any; 1 for none. By default 4 for DiT, 7.5 for Stable
            Diffusion.
        strength: makes samples from real images: the share of the steps that are taken, in (0, 1]; more keeps less of
            the image. None for noise alone, or 0.8 of an image-to-image pipeline.
        scheduler: another one of ``diffusers``: its name, which takes over the configuration, or one made by you.
        eta: how much noise DDIM and TCD add at every step, from 0 to 1.
        size: of what is denoised, as the delivered image: height and width in pixels, where the network can do others.
        classes: their names in order, or how many; by default those of the folder.
        prompts: what text-to-image models are told: ``{class: prompt, or several}``, or a template with ``{}`` for the
            name of the class, or several. Among several a sample's key chooses.
        negative: what such a model is to keep away from.
        batch_size: the most samples to make at a time; by default what a short measurement finds fastest.
        device: where it runs, and stays; by default wherever a loader delivers, until then the CPU.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: for a folder of pickles only, that asks for code of its own, lacks weights, or has some that are
            NaN; for one that doesn't load; for another pipeline; and for options that it doesn't have.
        ImportError: without ``diffusers``, saying what to install.

    >>> from tempfile import mkdtemp
    >>> from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
    >>> blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "block_out_channels": (8,)}
    >>> unet = UNet2DModel(sample_size=8, num_class_embeds=2, layers_per_block=1, norm_num_groups=4, **blocks)
    >>> folder = mkdtemp()
    >>> DDIMPipeline(unet, DDIMScheduler()).save_pretrained(folder)
    >>> gen = from_diffusers(folder, steps=4, classes=("cat", "dog"))
    >>> gen.sample(torch.tensor([0, 1]), torch.tensor([7, 8])).shape
    torch.Size([2, 3, 8, 8])
    """
    options = Options(guidance, size, classes, prompts, negative)
    opened = Folder(folder, "model_index.json", "from_diffusers")
    kind = kind_of(opened)
    check_options(opened, kind, options)
    with hermetic(0):  # the libraries draw weights before they read them
        network = kind.build(opened, options).eval().requires_grad_(False)
        planned = scheduler_of(opened, scheduler)
    steps, strength = steps if steps is not None else kind.steps, kind.strength if strength is None else strength
    denoiser = Denoiser(planned, network.shape[0], steps=steps, strength=strength, eta=eta)
    card = {
        "pipeline": opened.index["_class_name"],
        "scheduler": {"_class_name": type(planned).__name__, **_plain(planned.config)},
        "options": {"steps": steps, "strength": strength, "guidance": network.guidance, "eta": eta},
    }
    made = DiffusersGenerator(network, denoiser, card, strength is not None)
    made = made if device is None else made.to(device)
    return made.running(batch_size=batch_size)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Its numbers and words, without what is known about the library."""
    return {name: value for name, value in sorted(config.items()) if not name.startswith("_")}
