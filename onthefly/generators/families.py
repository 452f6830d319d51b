"""The closed table of families: what a checkpoint may be, so that no file can name code."""

from onthefly.generators.diffusion import DIFFUSION
from onthefly.generators.family import Family
from onthefly.generators.flow import FLOW
from onthefly.generators.gan import GAN
from onthefly.generators.language import LANGUAGE
from onthefly.generators.vae import VAE

FAMILIES: dict[str, Family] = {family.name: family for family in (DIFFUSION, GAN, VAE, FLOW, LANGUAGE)}


def family_of(name: str) -> Family:
    """The family of that name.

    >>> family_of("vae").configure({})
    VAEConfig(latent=16, width=32, encoder=True)
    """
    if name not in FAMILIES:
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, found {name!r}; a newer release may know it")
    return FAMILIES[name]
