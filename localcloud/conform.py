"""AWS's behaviour, where moto falls short: the one place that puts it into moto.

What is put right is told by the modules: `localcloud.fleets` (Spot Fleets), `localcloud.instances`,
`localcloud.ec2fleets` (CreateFleet), `localcloud.tagging`, `localcloud.eventrules` (pages),
`localcloud.functionstate`, `localcloud.schedules`, `localcloud.awspolicies`,
`localcloud.bucketpolicy`, `localcloud.cfn` (stacks), with
`localcloud.tokens` (client tokens) and `localcloud.world` (capacity, what is not seen yet, slow
ends). Nothing here fails on purpose: faults are the layer's, see `localcloud.faults`.
"""

import dataclasses
import functools
import time
from collections.abc import Iterator
from typing import Any

from moto import backends
from moto.core import responses
from moto.core.utils import method_names_from_class as _method_names
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response

from localcloud import (
    awspolicies,
    bucketpolicy,
    cfn,
    cfnwork,
    ec2fleets,
    eventrules,
    fleets,
    functionstate,
    instances,
    schedules,
    tagging,
)
from localcloud.patching import patch
from localcloud.shared import HIDE, ONLOOKER
from localcloud.world import World, region_of, world

__all__ = ["calm", "forget_ended", "install", "reset", "set_world"]

_HIDE_HEADER = HIDE.removeprefix("HTTP_").replace("_", "-")

_moto_call_action = EC2Response.call_action
_moto_modules = backends.list_of_moto_modules


def install() -> None:
    """Put AWS's behaviour into moto's classes."""
    fleets.install()
    instances.install()
    ec2fleets.install()
    tagging.install()
    eventrules.install()
    functionstate.install()
    schedules.install()
    awspolicies.install()
    bucketpolicy.install()
    cfn.install()
    patch(EC2Response, call_action=_call_action)
    # moto finds these out again at every call, which takes as long as the rest of a call.
    patch(backends, list_of_moto_modules=functools.cache(lambda: tuple(_moto_modules())))
    patch(
        responses,
        method_names_from_class=functools.cache(lambda owner: frozenset(_method_names(owner))),
    )


def set_world(**settings: float | None) -> None:
    """Change some of the settings of `localcloud.world.World`.

    Raises:
        ValueError: If there is no such setting, or if it is less than 0.
    """
    for name, value in settings.items():
        if name not in {field.name for field in dataclasses.fields(World)}:
            raise ValueError(f"there is no setting {name}")
        if value is not None and value < 0:
            raise ValueError(f"{name} is at least 0, not {value!r}")
    for name, value in settings.items():
        setattr(world, name, value)


def calm() -> None:
    """Hide nothing more, show what is hidden, and let no resource of a stack fail."""
    world.hide = 0.0
    cfnwork.calm()
    for backend in _backends():
        region_of(backend).hidden.clear()


def reset() -> None:
    """Set all back; tokens, and all else of a Region, go when moto is emptied."""
    for field in dataclasses.fields(World):
        setattr(world, field.name, field.default)
    cfnwork.calm()


def forget_ended() -> None:
    """Forget terminated instances and cancelled fleets."""
    for backend in _backends():
        _advance(backend)
        fleets.forget_ended(backend)
        instances.forget_ended(backend)


def _backends() -> Iterator[Any]:
    """Give moto's backends of all accounts and Regions that were ever used."""
    for account in list(ec2_backends.values()):
        yield from list(account.values())


def _advance(backend: Any) -> None:  # noqa: ANN401  (moto)
    """Do what time has brought."""
    region, now = region_of(backend), time.time()
    region.show_due(now)
    instances.advance(region, now)
    fleets.advance(backend, region, now)
    region.hide_made(world.hide)


def _call_action(self: Any) -> Any:  # noqa: ANN401  (moto)
    """Answer a call to EC2, after what time has brought."""
    world.onlooker = ONLOOKER in self.headers.get("User-Agent", "")
    _advance(self.ec2_backend)
    region = region_of(self.ec2_backend)
    try:
        return _moto_call_action(self)
    finally:
        region.hide_made(max(world.hide, float(self.headers.get(_HIDE_HEADER) or 0)))
        world.onlooker = False
