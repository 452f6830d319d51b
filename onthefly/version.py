"""The version: one number, read by the package and by what builds it."""

__version__ = "0.1.0"
