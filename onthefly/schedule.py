"""Schedules: from the progress of training and a class to the share of its slots that is synthetic."""

from onthefly.mixing.schedule import Cosine, Feedback, Fill, Linear, Schedule, Steps

__all__ = ["Cosine", "Feedback", "Fill", "Linear", "Schedule", "Steps"]
