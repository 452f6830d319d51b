"""What happens to a batch on the device."""

from onthefly.augment.apply import as_augment
from onthefly.augment.fused import fused
from onthefly.augment.image import image

__all__ = ["as_augment", "fused", "image"]
