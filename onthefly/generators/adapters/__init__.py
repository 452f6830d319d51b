"""Other people's generators behind the one seam."""

from onthefly.generators.adapters.diffusion import from_diffusers
from onthefly.generators.adapters.language import from_transformers
from onthefly.generators.adapters.module import from_module

__all__ = ["from_diffusers", "from_module", "from_transformers"]
