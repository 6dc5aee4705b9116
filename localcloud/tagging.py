"""Tags of EC2's resources, where moto falls short. `install` puts it into moto once.

After the EC2 API Reference ("CreateTags", "DeleteTags", "DescribeTags"): Spot Fleets are tagged
like all else; an instance or a fleet that is not there, or not seen yet, is an error; DescribeTags
knows the filters key, value, resource-id, resource-type and tag:KEY, and gives pages.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidInstanceIdError
from moto.ec2.responses.tags import TagResponse
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from localcloud import ec2xml, filters
from localcloud.fleets import no_such_fleet
from localcloud.paging import page
from localcloud.patching import patch
from localcloud.world import Region, region_of

__all__ = ["install"]

Response = Any
"""moto's, which has no types."""

_INSTANCE, _FLEET, _TAG = "i-", "sfr-", "tag:"
_SEPARATOR = "\t"  # sorts before all that an id or a key holds

_moto_create_tags = TagResponse.create_tags
_moto_delete_tags = TagResponse.delete_tags


def install() -> None:
    """Put AWS's behaviour into moto's classes."""
    patch(
        TagResponse,
        create_tags=_create_tags,
        delete_tags=_delete_tags,
        describe_tags=_describe_tags,
    )


def _create_tags(self: Response) -> Any:  # noqa: ANN401  (what moto takes)
    _check(region_of(self.ec2_backend), self._get_param("Resources", []))
    return _moto_create_tags(self)


def _delete_tags(self: Response) -> Any:  # noqa: ANN401  (what moto takes)
    _check(region_of(self.ec2_backend), self._get_param("Resources", []))
    return _moto_delete_tags(self)


def _check(region: Region, ids: list[str]) -> None:
    """Raise AWS's error for the first instance or fleet that is not seen."""
    for identity in ids:
        if identity.startswith(_INSTANCE):
            if identity not in region.instances or not region.sees(identity):
                raise InvalidInstanceIdError(identity)
        elif identity.startswith(_FLEET) and (
            identity not in region.fleets or not region.sees(identity)
        ):
            raise no_such_fleet(identity)


def _describe_tags(self: Response) -> ec2xml.Written:
    self.error_on_dryrun()
    backend = self.ec2_backend
    hidden = region_of(backend).hidden_now
    given = filters.read(self._get_param("Filters", []))
    seen = {one: tags for one, tags in backend.tags.items() if one not in hidden}
    found = sorted(_found(seen, given))
    asked = self._get_param("MaxResults")
    some, token = page(found, _SEPARATOR.join, asked and int(asked), self._get_param("NextToken"))
    described = [
        {
            "ResourceId": identity,
            "ResourceType": _kind(identity),
            "Key": key,
            "Value": seen[identity][key],
        }
        for identity, key in some
    ]
    return ec2xml.answer("DescribeTags", {"Tags": described, "NextToken": token})


def _kind(identity: str) -> str:
    return str(EC2_PREFIX_TO_RESOURCE.get(get_prefix(identity), ""))


def _found(
    tags: Mapping[str, Mapping[str, str]], given: Mapping[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """Give the tags that pass the filters: resource id and key.

    Raises:
        EC2ClientError: If there is no filter of a name.
    """
    tests = {name: filters.value_test(values) for name, values in given.items()}
    of_resource = [tests.pop("resource-id", _anything)]
    if "resource-type" in tests:
        is_kind = tests.pop("resource-type")
        of_resource.append(lambda identity: is_kind(_kind(str(identity))))
    of_key, of_value = tests.pop("key", _anything), tests.pop("value", _anything)
    for name in tests:
        if not name.startswith(_TAG):
            raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")
    for identity, own in tags.items():
        for key, value in own.items():
            if (
                of_key(key)
                and of_value(value)
                and all(name == _TAG + key and test(value) for name, test in tests.items())
                and all(test(identity) for test in of_resource)
            ):
                yield identity, key


def _anything(_: str | None) -> bool:
    return True
