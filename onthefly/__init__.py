"""Fresh synthetic samples from frozen generators in every batch of the DataLoader you already have."""

from onthefly import augment, balance, evidence, generators, schedule, testing
from onthefly.collate import DeviceCollate, MixInfo
from onthefly.data.dataset import HostCollate, SyntheticMixDataset
from onthefly.generators.checkpoint import load
from onthefly.loader import MixLoader
from onthefly.manifest import replay
from onthefly.mixing.plan import MixPlan
from onthefly.version import __version__ as __version__
from onthefly.wrapping import wrap

__all__ = [
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
]
