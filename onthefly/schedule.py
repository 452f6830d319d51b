"""Schedules: from the progress of training and a class to the share of its slots that is synthetic."""

from onthefly.mixing.feedback import Feedback
from onthefly.mixing.schedule import Cosine, Fill, Linear, Schedule, Steps

__all__ = ["Cosine", "Feedback", "Fill", "Linear", "Schedule", "Steps"]
