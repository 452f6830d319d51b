"""Schedules: from the progress of training and a class to the share of its slots that is synthetic."""

from onthefly.mixing.schedule import Cosine, Fill, Linear, Schedule, Steps

__all__ = ["Cosine", "Fill", "Linear", "Schedule", "Steps"]
