"""Balance: the share of each class in the delivered stream."""

from onthefly.mixing.balance import Balance, EffectiveNumber, Power

__all__ = ["Balance", "EffectiveNumber", "Power"]
