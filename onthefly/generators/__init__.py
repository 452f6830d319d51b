"""What fills a synthetic slot: frozen generators, their training, and their checkpoints."""

from onthefly.generators.adapters import from_module
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.checkpoint import load, read_card, save
from onthefly.generators.fields import with_fields
from onthefly.generators.privacy import Privacy
from onthefly.generators.sheet import contact_sheet
from onthefly.generators.signing import sign, verify
from onthefly.generators.training import train

__all__ = [
    "FrozenGenerator",
    "Privacy",
    "contact_sheet",
    "from_module",
    "load",
    "read_card",
    "save",
    "sign",
    "train",
    "verify",
    "with_fields",
]
