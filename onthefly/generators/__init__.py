"""What fills a synthetic slot: frozen generators, their training, and their checkpoints."""

from onthefly.generators.adapters import from_diffusers, from_module, from_transformers
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.checkpoint import load, read_card, save
from onthefly.generators.distillation import distill
from onthefly.generators.fields import with_fields
from onthefly.generators.privacy import Privacy
from onthefly.generators.sheet import contact_sheet
from onthefly.generators.signing import sign, verify
from onthefly.generators.training import train
from onthefly.generators.waves import draw_waves, wave_sheet, write_waves

__all__ = [
    "FrozenGenerator",
    "Privacy",
    "contact_sheet",
    "distill",
    "draw_waves",
    "from_diffusers",
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
]
