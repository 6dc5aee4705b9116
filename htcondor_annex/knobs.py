"""The knobs: HTCondor parameters read once into one typed, frozen object.

`KNOBS` is the one list of them; docs/reference/knobs.md is generated from it. The tool imports
this module too, so its types are named tuples: dataclasses would double the tool's start-up.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from htcondor_annex import regions
from htcondor_annex.errors import KnobError

__all__ = ["FUNCTION_KNOB", "KNOBS", "Knob", "Knobs", "read_knobs", "socket_path"]

FUNCTION_KNOB = "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN"
"""The knob that may have a region before its name, such as us_west_2."""


class Knob(NamedTuple):
    """One knob.

    Attributes:
        field: The attribute of `Knobs` that it fills.
        kind: `text`, `path` (absolute), `region`, `word` (one of `words`), `seconds` or `number`.
        default: As an administrator would write it; None for no default.
        least: The smallest number allowed.
        help: For the reference page.
        words: Those that it may be, in any case; kept in capitals.
    """

    name: str
    field: str
    kind: str
    default: str | None
    help: str
    least: int = 1
    words: tuple[str, ...] = ()


KNOBS: tuple[Knob, ...] = (
    Knob(
        "ANNEXD_SOCKET",
        "socket",
        "path",
        "$(LOCK)/annexd.sock",
        "The Unix socket on which annexd serves condor_annex. Change it by a restart.",
    ),
    Knob(
        "ANNEXD_JOURNAL",
        "journal",
        "path",
        "$(SPOOL)/annexd.journal",
        "Where annexd keeps what it answers for: HTCondor's ClassAd log. Change it by a restart.",
    ),
    Knob(
        "ANNEXD_HISTORY",
        "history",
        "path",
        "$(SPOOL)/annexd.history",
        "Where annexes go that have come to their end; `condor_history -file` reads it. Change it "
        "by a restart, as the next two.",
    ),
    Knob(
        "MAX_ANNEXD_HISTORY_LOG",
        "max_history",
        "number",
        "20 * 1024 * 1024",
        "How many bytes that file may have; then it is renamed, and a new one begun.",
    ),
    Knob(
        "MAX_ANNEXD_HISTORY_ROTATIONS",
        "history_rotations",
        "number",
        "2",
        "How many such renamed files are kept.",
    ),
    Knob(
        "ANNEXD_NAME",
        "name",
        "text",
        "$(FULL_HOSTNAME)",
        "The name in the daemon's ad.",
    ),
    Knob(
        "ANNEXD_UPDATE_INTERVAL",
        "update_interval",
        "seconds",
        "300",
        "How often annexd sends its ad to the collector.",
    ),
    Knob(
        "ANNEXD_THREADS",
        "threads",
        "number",
        "32",
        "How many calls to AWS may be under way at once, beside the four of the keeper's looks. "
        "Change it by a restart.",
    ),
    Knob(
        "ANNEXD_AWS_TIMEOUT",
        "aws_timeout",
        "seconds",
        "30",
        "How long one call to AWS may stay without an answer before its outcome counts as unknown.",
    ),
    Knob(
        "ANNEXD_RETRY_TIME",
        "retry_time",
        "seconds",
        "120",
        "How long a step is tried again while AWS throttles it, fails or does not answer, before "
        "what was made is undone.",
    ),
    Knob(
        "ANNEXD_CONFIRM_TIME",
        "confirm_time",
        "seconds",
        "300",
        "How long a thing must stay unseen in AWS before annexd believes that it is not there.",
    ),
    Knob(
        "ANNEXD_POLL_INTERVAL",
        "poll_interval",
        "seconds",
        "60",
        "How often annexd looks how the annexes' fleets and instances are.",
    ),
    Knob(
        "ANNEXD_RECONCILE_INTERVAL",
        "reconcile_interval",
        "seconds",
        "300",
        "How often annexd looks for what carries its tag in AWS and no annex owns.",
    ),
    Knob(
        "ANNEXD_ORPHAN_GRACE",
        "orphan_grace",
        "seconds",
        "600",
        "How long such a thing must have been seen before annexd ends it.",
    ),
    Knob(
        regions.KNOB,
        "region",
        "region",
        regions.FIRST,
        "Where annexes go if condor_annex is not told. It is also the region of endpoints whose "
        "host name does not tell it (any that is not AWS's own).",
    ),
    Knob(
        "ANNEX_DEFAULT_EC2_URL",
        "ec2_url",
        "text",
        "https://ec2.$(ANNEX_DEFAULT_AWS_REGION).amazonaws.com",
        "Where EC2 is reached. The three endpoints must be of one region.",
    ),
    Knob(
        "ANNEX_DEFAULT_CWE_URL",
        "events_url",
        "text",
        "https://events.$(ANNEX_DEFAULT_AWS_REGION).amazonaws.com",
        "Where EventBridge (once CloudWatch Events) is reached.",
    ),
    Knob(
        "ANNEX_DEFAULT_LAMBDA_URL",
        "lambda_url",
        "text",
        "https://lambda.$(ANNEX_DEFAULT_AWS_REGION).amazonaws.com",
        "Where Lambda is reached.",
    ),
    Knob(
        "ANNEX_DEFAULT_ACCESS_KEY_FILE",
        "access_key_file",
        "path",
        None,
        "The file that holds the access key ID, when condor_annex is given none.",
    ),
    Knob(
        "ANNEX_DEFAULT_SECRET_KEY_FILE",
        "secret_key_file",
        "path",
        None,
        "The file that holds the secret access key, when condor_annex is given none.",
    ),
    Knob(
        FUNCTION_KNOB,
        "lease_function_arn",
        "text",
        None,
        "The lease function, when condor_annex is given none. With a region before its name "
        "(`us_west_2.ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN`) it is that region's, and comes before "
        "the plain one.",
    ),
    Knob(
        "ANNEX_LEASE_METHOD",
        "lease_method",
        "word",
        "RULE",
        "What ends an annex in AWS when annexd cannot: RULE, a rule of its own that runs the lease "
        "function; or SWEEP, the rule of the function's own stack, which ends what has expired by "
        "its tags. With SWEEP the limit on rules (300) is none on annexes. An annex keeps the one "
        "that it was made with.",
        words=("RULE", "SWEEP"),
    ),
    Knob(
        "ANNEX_DEFAULT_LEASE_DURATION",
        "lease_duration",
        "seconds",
        "3000",
        "The lease, when condor_annex is given none.",
    ),
    Knob(
        "ANNEX_MAX_LEASE",
        "max_lease",
        "seconds",
        "7 * 24 * 3600",
        "The longest lease. AWS itself ends every fleet this long after its start (ValidUntil).",
    ),
)


class Knobs(NamedTuple):
    """What the configuration says; times in seconds, paths absolute."""

    socket: str
    journal: str
    history: str
    max_history: int
    history_rotations: int
    name: str
    update_interval: int
    threads: int
    aws_timeout: int
    retry_time: int
    confirm_time: int
    poll_interval: int
    reconcile_interval: int
    orphan_grace: int
    region: str
    ec2_url: str
    events_url: str
    lambda_url: str
    access_key_file: str | None
    secret_key_file: str | None
    lease_function_arn: str | None
    lease_method: str
    lease_duration: int
    max_lease: int
    lease_functions: Mapping[str, str]
    """Region to lease function, where a region has its own."""

    def lease_function(self, region: str) -> str | None:
        """Return the lease function of a region, or of any; None if there is none."""
        return self.lease_functions.get(region, self.lease_function_arn)


_BY_NAME: Mapping[str, Knob] = MappingProxyType({knob.name: knob for knob in KNOBS})
_MACRO = re.compile(r"\$\((\w+)\)", re.ASCII)


def _text(knob: Knob, param: Mapping[str, str]) -> str | None:
    """Return the knob's text, or its default with the $(MACROS) of the configuration in it."""
    value = param.get(knob.name)
    if value is not None or knob.default is None:
        return value
    return _MACRO.sub(lambda macro: _macro(macro[1], param), knob.default)


def _macro(name: str, param: Mapping[str, str]) -> str:
    """Return what a macro stands for: a knob of ours has its own default."""
    known = _BY_NAME.get(name)
    return param.get(name, "") if known is None else _text(known, param) or ""


def _value(knob: Knob, text: str, evaluate: Callable[[str], int]) -> str | int:
    if knob.kind == "text":
        return text
    if knob.kind == "word":
        if text.upper() not in knob.words:
            raise ValueError(f"{text!r} is not {' or '.join(knob.words)}")
        return text.upper()
    if knob.kind == "region":
        if not regions.is_region(text):
            raise ValueError(f"{text!r} is no AWS region; they look like us-west-2")
        return text
    if knob.kind == "path":
        if not text.startswith("/"):
            raise ValueError(f"{text!r} is no absolute path")
        return text
    number = evaluate(text)
    if number < knob.least:
        raise ValueError(f"{number} is less than {knob.least}")
    return number


def _regional(param: Mapping[str, str]) -> dict[str, str]:
    """Return the lease functions of single regions."""
    found: dict[str, str] = {}
    for name in param:
        before, _, plain = name.rpartition(".")
        # One annexd of several may have a name before it.
        region = regions.of_prefix(before.rpartition(".")[2])
        if region is None or plain.upper() != FUNCTION_KNOB:
            continue
        value = param.get(regions.prefix(region) + FUNCTION_KNOB, param.get(name))
        if value is not None:
            found[region] = value
    return found


def read_knobs(param: Mapping[str, str], evaluate: Callable[[str], int]) -> Knobs:
    """Read every knob.

    Args:
        param: HTCondor's configuration: name to expanded text; unset knobs absent.
        evaluate: What turns a numeric expression into a whole number, or raises ValueError.

    Raises:
        KnobError: Naming every knob that cannot be used, and why.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for knob in KNOBS:
        text = _text(knob, param)
        try:
            values[knob.field] = None if text is None else _value(knob, text, evaluate)
        except ValueError as error:
            problems.append(f"{knob.name}: {error}")
    if problems:
        raise KnobError(
            "the HTCondor configuration cannot be used",
            problems=problems,
            advice="Correct these knobs; `condor_config_val -v NAME` tells where one is set.",
        )
    return Knobs(**values, lease_functions=_regional(param))


def socket_path(param: Mapping[str, str]) -> str:
    """Return where annexd serves, the one knob that the tool needs for itself."""
    return str(_text(_BY_NAME["ANNEXD_SOCKET"], param))
