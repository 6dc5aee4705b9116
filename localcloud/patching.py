"""Puts our own in the place of what moto has."""

from typing import Any

__all__ = ["patch"]


def patch(owner: Any, **ours: Any) -> None:  # noqa: ANN401  (moto's classes and modules)
    """Replace members of a class or a module, by name.

    Raises:
        AttributeError: If it has no such member: moto has changed, and would never call ours.
    """
    for name, value in ours.items():
        getattr(owner, name)
        setattr(owner, name, value)
