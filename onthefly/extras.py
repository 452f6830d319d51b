"""Optional packages: imported when they are needed, by one helper, which says what to install when one is missing."""

import importlib
from types import ModuleType


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: what to import.
        extra: the extra of this project that installs it.

    Raises:
        ImportError: naming the extra and the command to type.

    >>> require("json", extra="report").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module.partition('.')[0]} could not be imported ({error}); it comes with the extra {extra!r}: "
            f'pip install "onthefly-torch[{extra}]"'
        ) from error
