"""The knobs of a region that is set up, and the block of lines that holds them. Pure.

Each knob is written with the region before its name, so that several regions stand side by side;
those of the default region are written plain as well. Names are upstream's. HTCondor refuses its
whole configuration for one wrong name, and expands `$` in values: neither is ever written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from htcondor_annex import regions
from htcondor_annex.errors import RequestError, SetupError
from htcondor_annex.knobs import FUNCTION_KNOB
from htcondor_annex.setup import stacks

__all__ = [
    "HELP",
    "Keys",
    "Made",
    "begin_line",
    "check_value",
    "is_default",
    "lines",
    "named",
    "whole",
    "with_block",
    "without_block",
]

HELP: Mapping[str, str] = {
    "ANNEX_DEFAULT_CF_URL": "Where CloudFormation is reached, if that is no host of AWS's own.",
    "ANNEX_DEFAULT_S3_URL": "The same of S3.",
    "ANNEX_DEFAULT_IAM_URL": "The same of IAM.",
    "ANNEX_DEFAULT_S3_BUCKET": "The configuration bucket.",
    "ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS": "The instances' security group.",
    "ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN": "The instances' profile.",
}
"""The knobs that annexd does not read, for the reference page; their names are HTCondor's."""
_WORDS = (
    "# Written by condor_annex -setup, which writes it anew, and -teardown, which removes it: set",
    "# knobs of your own elsewhere, after this.",
)


@dataclass(frozen=True, slots=True)
class Made:
    """What the stacks of a region gave, in the knobs' values."""

    function: str
    bucket: str
    security_group: str
    instance_profile: str

    @classmethod
    def read(cls, output: Callable[[str, str], str]) -> "Made":
        """Return what they gave; `output` tells a stack's output by the names of both."""
        return cls(
            function=output(stacks.FUNCTION, "LeaseFunctionARN"),
            bucket=output(stacks.BUCKET, "BucketName"),
            security_group=output(stacks.GROUP, "SecurityGroupID"),
            instance_profile=output(stacks.ROLE, "InstanceProfileARN"),
        )


@dataclass(frozen=True, slots=True)
class Keys:
    """The two key files, absolute paths."""

    access: str
    secret: str


def check_value(text: str, what: str) -> None:
    """Hold a text against what HTCondor's configuration can have as a value.

    Raises:
        RequestError: If it would be read as something else.
    """
    if not text.isprintable() or "$" in text or text != text.strip() or text.endswith("\\"):
        raise RequestError(
            f"{what} {text!r} cannot stand in HTCondor's configuration as it is",
            advice="Give a path without $, line breaks, and blanks at its ends.",
        )


def named(made: Made, keys: Keys | None) -> dict[str, str]:
    """Return the knobs of a region by their plain names."""
    found = {
        FUNCTION_KNOB: made.function,
        "ANNEX_DEFAULT_S3_BUCKET": made.bucket,
        "ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS": made.security_group,
        "ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN": made.instance_profile,
    }
    if keys is not None:
        found["ANNEX_DEFAULT_ACCESS_KEY_FILE"] = keys.access
        found["ANNEX_DEFAULT_SECRET_KEY_FILE"] = keys.secret
    return found


def is_default(region: str, param: Mapping[str, str]) -> bool:
    """Tell whether a region is the default: it is said to be, or none has been set up yet.

    HTCondor itself says us-east-1 where nobody says anything; so a lease function must be there.
    """
    return FUNCTION_KNOB not in param or param.get(regions.KNOB) == region


def lines(region: str, knobs: Mapping[str, str], default: Mapping[str, str] | None) -> list[str]:
    """Return a region's lines.

    Args:
        region: Such as `us-west-2`.
        knobs: By their plain names.
        default: What else the default region has; None if this is not the default region.
    """
    found = [f"{regions.prefix(region)}{name} = {value}" for name, value in knobs.items()]
    if default is not None:
        plain = {regions.KNOB: region, **default, **knobs}
        found += [f"{name} = {value}" for name, value in plain.items()]
    return found


def begin_line(region: str) -> str:
    """Return the comment with which a region's block begins."""
    return f"# >>> condor_annex -setup {region} >>>"


def _end_line(region: str) -> str:
    return f"# <<< condor_annex -setup {region} <<<"


def whole(region: str, knobs: Sequence[str]) -> bytes:
    """Return a region's block."""
    text = [begin_line(region), *_WORDS, *knobs, _end_line(region)]
    return "".join(f"{line}\n" for line in text).encode("utf-8", "surrogateescape")


def _find(content: bytes, region: str, where: str) -> tuple[int, int] | None:
    """Return where a region's block begins and ends, in bytes; None if there is none."""
    begin, end = begin_line(region).encode(), _end_line(region).encode()
    begins, ends, inside, place = [], [], False, 0
    for line in content.splitlines(keepends=True):
        after = place + len(line)
        bare = line.strip()
        if bare == begin:
            begins.append(place)
            inside = True
        elif bare == end:
            ends.append(after)
            inside = False
        elif inside and bare.startswith((b"# >>> condor_annex", b"# <<< condor_annex")):
            ends.append(-1)
        place = after
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0] <= begins[0]:
        raise SetupError(
            f"{where}: the lines that -setup wrote for {region} are not whole any more; the file "
            "is left as it is",
            advice=f"Remove what is left between {begin.decode()!r} and {end.decode()!r}, with "
            "these lines; then repeat.",
        )
    return begins[0], ends[0]


def with_block(content: bytes, region: str, block: bytes, where: str) -> bytes:
    """Return a file's content with a region's block in it; the rest is kept byte for byte.

    A new block comes first: there it is inside nothing, and what the user sets himself rules.

    Args:
        content: Of the file.
        region: Whose block.
        block: As `whole` makes it.
        where: The file's name, for errors.

    Raises:
        SetupError: If an older block is damaged.
    """
    found = _find(content, region, where)
    if found is None:
        return block + content
    return content[: found[0]] + block + content[found[1] :]


def without_block(content: bytes, region: str, where: str) -> bytes:
    """Return a file's content without a region's block; raises as `with_block`."""
    return with_block(content, region, b"", where)
