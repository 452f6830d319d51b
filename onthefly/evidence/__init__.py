"""Evidence: what a mix costs and what it brings, measured on your own loader. It watches, and never steers."""

from onthefly.evidence.bench import bench
from onthefly.evidence.decibels import si_sdr, snr
from onthefly.evidence.result import Bench

__all__ = ["Bench", "bench", "si_sdr", "snr"]
