"""What users have, read as datasets: pictures, sounds, tables, texts, and what torchvision knows by name."""

from onthefly.reading.audio import Clips
from onthefly.reading.enough import check_classes
from onthefly.reading.images import Pictures
from onthefly.reading.named import Named
from onthefly.reading.noisy import Noisy
from onthefly.reading.samples import Samples
from onthefly.reading.source import read
from onthefly.reading.split import split
from onthefly.reading.tables import Rows
from onthefly.reading.texts import Texts

__all__ = ["Clips", "Named", "Noisy", "Pictures", "Rows", "Samples", "Texts", "check_classes", "read", "split"]
