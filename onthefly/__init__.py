"""Fresh synthetic samples from frozen generators in every batch of the DataLoader you already have."""

from onthefly import augment, balance, generators, schedule, testing
from onthefly.collate import DeviceCollate, MixInfo
from onthefly.data.dataset import HostCollate, SyntheticMixDataset
from onthefly.generators.checkpoint import load
from onthefly.loader import MixLoader, wrap
from onthefly.mixing.plan import MixPlan

__all__ = [
    "DeviceCollate",
    "HostCollate",
    "MixInfo",
    "MixLoader",
    "MixPlan",
    "SyntheticMixDataset",
    "augment",
    "balance",
    "generators",
    "load",
    "schedule",
    "testing",
    "wrap",
]
__version__ = "0.1.0"
