"""`condor_annex -setup`, `-check-setup` and `-teardown`: from the command line to the work itself.

Credentials are read as the caller, by the rules of annexd's key reader. What needs boto3 is
imported here and nowhere else in the tool.
"""

import argparse
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from htcondor_annex import condor, regions
from htcondor_annex.errors import AnnexError, ExitStatus, RequestError, SetupError
from htcondor_annex.setup import knobfile, regionknobs, stacks
from htcondor_annex.setup.plans import Wishes
from htcondor_annex.setup.regionknobs import Keys, Made
from htcondor_annex.setup.stacks import Found
from htcondor_annex.templates.network import PoolAddressError, check_addresses
from htcondor_annex.tool.options import CHECK, SETUP, TEARDOWN

if TYPE_CHECKING:  # they need boto3
    from htcondor_annex.setup.aws import Aws
    from htcondor_annex.setup.inspection import Inspection
    from htcondor_annex.setup.walk import Walk

__all__ = ["run"]

_INTERRUPTED = 130  # as a shell reports SIGINT
_FROM_INSTANCE = ["FROM", "INSTANCE"]
_NO_ADDRESS = "none"

Say = Callable[[str], None]


class _Caller(NamedTuple):
    """Who wants it where, as the command line and his configuration have it."""

    options: argparse.Namespace
    param: Mapping[str, str]
    region: str
    say: Say
    socket: str


def _region(options: argparse.Namespace, param: Mapping[str, str]) -> str:
    region = regions.chosen(options.aws_region, param)
    if not regions.is_region(region):
        raise RequestError(
            f"{region[:80]!r} is no AWS region", advice="They look like us-west-2 or eu-north-1."
        )
    return region


def _key_files(caller: _Caller) -> Keys | None:
    """Return the two key files by flag or words, None for the instance's; knobs come last.

    Raises:
        RequestError: If there are none.
    """
    options, words = caller.options, caller.options.words
    if words == _FROM_INSTANCE:
        return None
    given = words or [options.access_key_file, options.secret_key_file]
    found = []
    for kind, path in zip(("ACCESS", "SECRET"), given, strict=True):
        knob = f"ANNEX_DEFAULT_{kind}_KEY_FILE"
        chosen = path or regions.own_knob(caller.param, caller.region, knob)
        if not chosen:
            raise RequestError(
                f"no {kind.lower()} key file was given",
                advice="Give the two key files, or FROM INSTANCE on an EC2 instance whose profile "
                "allows what templates/annexd-policy.json lists.",
            )
        found.append(os.path.abspath(chosen))  # noqa: PTH100  (no link is followed)
    return Keys(*found)


def _given_keys(caller: _Caller) -> Keys | None:
    """Return the key files if they were named on the command line."""
    options = caller.options
    named = options.words or options.access_key_file or options.secret_key_file
    return _key_files(caller) if named else None


def _aws(caller: _Caller) -> "Aws":
    """Return AWS in the region, with the caller's keys.

    Raises:
        AnnexError: If the keys or the endpoints cannot be used, or boto3 is not there.
    """
    from htcondor_annex.aws.credentials import Credentials, parse_key  # noqa: PLC0415  (rarely)
    from htcondor_annex.daemon.keyreader import open_key_file  # noqa: PLC0415  (as above)

    keys = _key_files(caller)
    credentials = None
    if keys is not None:
        uid = os.geteuid()
        credentials = Credentials(
            parse_key("access", keys.access, open_key_file(keys.access, uid)),
            parse_key("secret", keys.secret, open_key_file(keys.secret, uid)),
        )
    try:
        from htcondor_annex.setup.aws import Aws as Connection  # noqa: PLC0415  (it may be missing)
    except ImportError as error:
        raise SetupError(
            f"-setup, -check-setup and -teardown need the Python package boto3 ({error})",
            advice="Install it for the Python of this tool: pip install 'htcondor-annex[tool]'.",
        ) from error
    return Connection(caller.region, credentials, caller.param)


def _walk(walk: "Walk", caller: _Caller) -> dict[str, Found] | None:
    """Go through the stacks; None if the user interrupted that, who is told what goes on."""
    try:
        return walk.go()
    except KeyboardInterrupt:
        caller.say("condor_annex: interrupted; nothing that was made is lost")
        for name in walk.at_work():
            caller.say(f"  {name}: AWS goes on with it by itself")
        caller.say("Repeat the command: it goes on from there.")
        return None


def _token() -> str:
    return uuid.uuid4().hex


def _wishes(options: argparse.Namespace) -> Wishes:
    addresses = None
    if options.pool_address is not None:
        words = options.pool_address.replace(",", " ").split()
        try:
            addresses = () if words == [_NO_ADDRESS] else tuple(check_addresses(words))
        except PoolAddressError as error:
            raise RequestError(f"-pool-address: {error}") from error
    return Wishes(options.vpc, addresses, options.permissions_boundary)


def _setup(caller: _Caller) -> int:
    wishes = _wishes(caller.options)
    keys = _given_keys(caller)
    for path in (keys.access, keys.secret) if keys else ():
        regionknobs.check_value(path, "the path of the key file")
    place = knobfile.place(caller.region, caller.param)
    place.check(caller.region)
    aws = _aws(caller)
    # They import boto3; that it is there is known by now.
    from htcondor_annex.setup.cloudformation import CloudFormation  # noqa: PLC0415
    from htcondor_annex.setup.make import Make  # noqa: PLC0415
    from htcondor_annex.setup.spotroles import make_spot_roles  # noqa: PLC0415
    from htcondor_annex.setup.walk import Walk  # noqa: PLC0415

    for service in make_spot_roles(aws):
        caller.say(f"AWS's own role for {service}: made")
    cloudformation = CloudFormation(aws)
    make = Make(aws, cloudformation, wishes)
    walk = Walk(cloudformation, stacks.STACKS, make, say=caller.say, clock=time, new_token=_token)
    found = _walk(walk, caller)
    for remark in make.remarks:
        caller.say(f"Note: {remark}")
    if found is None:
        return _INTERRUPTED
    made = Made.read(lambda stack, output: found[stack].outputs[output])
    _write_knobs(caller, place, made, keys, aws)
    caller.say(f"{caller.region} is set up. For config.json:")
    caller.say(f"  IamFleetRole: {found[stacks.FLEET_ROLE].outputs['FleetRoleARN']}")
    caller.say(f"  IamInstanceProfile: {found[stacks.ROLE].outputs['InstanceProfileARN']}")
    caller.say(f"  SecurityGroups: {found[stacks.GROUP].outputs['SecurityGroupID']}")
    return ExitStatus.OK


def _write_knobs(
    caller: _Caller, place: knobfile.Place, made: Made, keys: Keys | None, aws: "Aws"
) -> None:
    knobs = regionknobs.named(made, keys)
    default = None
    if regionknobs.is_default(caller.region, caller.param):
        default = aws.own_urls
    lines = regionknobs.lines(caller.region, knobs, default)
    try:
        changed = place.write(caller.region, lines)
    except SetupError as error:
        raise SetupError(
            error.message,
            problems=lines,
            advice="The stacks are made. Put these lines into HTCondor's configuration, or mend "
            "that and repeat.",
        ) from error
    caller.say(f"{place.path} {'is written' if changed else 'is up to date'}.")
    condor.reload_config()
    for line in lines:
        name, _, value = line.partition(" = ")
        if (seen := condor.Params().get(name)) != value:
            caller.say(
                f"Note: HTCondor's {name} is {seen}: `condor_config_val -v {name}` tells where it "
                "is set; this must go for the new value to count."
            )
    if changed and not place.shared:
        caller.say("Run condor_reconfig, so that annexd reads it.")


def _check(caller: _Caller) -> int:
    aws = _aws(caller)
    from htcondor_annex.setup.inspection import Inspection, inspect  # noqa: PLC0415  (as above)

    inspection = Inspection(aws)
    well = inspect(inspection, _answer)
    well = _check_knobs(caller, inspection) and well
    try:
        _annexes(caller.socket)
    except AnnexError as error:
        _answer(f"Note: {error.message}.")
    else:
        _answer("Checking annexd... OK.")
    return ExitStatus.OK if well else ExitStatus.REPLY


def _answer(text: str) -> None:
    print(text, flush=True)  # noqa: T201  (the tool's answer)


def _check_knobs(caller: _Caller, inspection: "Inspection") -> bool:
    what = "Checking the knobs in HTCondor's configuration..."
    try:
        wanted = regionknobs.named(inspection.made(), None)
    except AnnexError as error:
        _answer(f"{what} {error.message}.")
        return False
    wrong = []
    default = regions.chosen(None, caller.param) == caller.region
    for name, value in wanted.items():
        regional = regions.prefix(caller.region) + name
        seen = caller.param.get(regional, caller.param.get(name) if default else None)
        if seen != value:
            wrong.append(f"{regional} is {seen or 'not set'}, and should be {value}")
    if wrong:
        _answer(f"{what} {'; '.join(wrong)}; `condor_annex -setup` writes them.")
        return False
    _answer(f"{what} OK.")
    return True


def _annexes(socket: str) -> list[Mapping[str, object]]:
    """Return the caller's annexes, or all for an administrator, by annexd's word."""
    from htcondor_annex.tool.client import exchange  # noqa: PLC0415  (rarely used)
    from htcondor_annex.wire import ANNEXES_PATH  # noqa: PLC0415  (as above)

    found: list[Mapping[str, object]] = []
    for event in exchange(socket, "GET", ANNEXES_PATH, None):
        found += event.get("annexes", [])
    return found


def _refuse_if_living(caller: _Caller, aws: "Aws", remark: Say) -> None:
    from htcondor_annex.setup import living  # noqa: PLC0415  (as above)

    try:
        found = living.in_annexd(caller.region, lambda: _annexes(caller.socket), remark)
        found += living.in_aws(aws)
    except AnnexError as error:
        raise SetupError(
            f"it cannot be told whether annexes live in {caller.region}: {error.message}",
            advice=f"Nothing was removed. {error.advice}".strip(),
        ) from error
    if found:
        raise SetupError(
            f"annexes live in {caller.region}: nothing was removed",
            problems=living.summary(found),
            advice="End them (condor_annex off -annex-name NAME), wait until nothing of them is "
            "left, and repeat.",
        )


def _agreed(caller: _Caller, names: list[str]) -> None:
    """Ask the user.

    Raises:
        RequestError: If he does not say yes, or cannot be asked.
    """
    if caller.options.yes:
        return
    if not sys.stdin.isatty():
        raise RequestError(
            "-teardown asks before it removes anything, and there is no terminal to ask on",
            advice="Give -yes.",
        )
    caller.say(f"Will remove from {caller.region}: {', '.join(names)}, and its knobs.")
    caller.say("Is that OK? (Type 'yes')")
    if sys.stdin.readline().strip().lower() != "yes":
        raise RequestError("nothing was removed")


def _teardown(caller: _Caller) -> int:
    aws = _aws(caller)
    from htcondor_annex.setup.cloudformation import CloudFormation  # noqa: PLC0415  (as above)
    from htcondor_annex.setup.removal import Remove  # noqa: PLC0415  (as above)
    from htcondor_annex.setup.walk import Walk  # noqa: PLC0415  (as above)

    _refuse_if_living(caller, aws, caller.say)
    specs = stacks.removal()
    _agreed(caller, [spec.name for spec in specs])
    _refuse_if_living(caller, aws, lambda _: None)  # the user may have thought for long
    # First, so that no new annex finds a function that is about to go.
    _remove_knobs(caller)
    cloudformation = CloudFormation(aws)
    remove = Remove(aws, cloudformation)
    walk = Walk(cloudformation, specs, remove, say=caller.say, clock=time, new_token=_token)
    if _walk(walk, caller) is None:
        return _INTERRUPTED
    caller.say(f"Nothing that -setup made is left in {caller.region}.")
    return ExitStatus.OK


def _remove_knobs(caller: _Caller) -> None:
    mine = knobfile.place(caller.region, caller.param)
    if mine.remove(caller.region):
        caller.say(f"{mine.path} is removed." if not mine.shared else f"{mine.path} is changed.")
    for other in (
        knobfile.administrators(caller.region, caller.param),
        knobfile.users(caller.param),
    ):
        if other is not None and other != mine and other.holds(caller.region):
            caller.say(f"Note: {other.path} has knobs of {caller.region} too; remove them there.")


def run(options: argparse.Namespace, param: Mapping[str, str], socket: str, say: Say) -> int:
    """Do what was asked.

    Args:
        options: The command line's.
        param: HTCondor's configuration.
        socket: Where annexd serves.
        say: Writes a line to standard error.

    Returns:
        The exit status.

    Raises:
        AnnexError: If it cannot be done.
    """
    caller = _Caller(options, param, _region(options, param), say, socket)
    work = {SETUP: _setup, CHECK: _check, TEARDOWN: _teardown}[options.command]
    try:
        return work(caller)
    except KeyboardInterrupt:  # not while AWS is at work on a stack: see `_walk`
        say("condor_annex: interrupted; repeat the command")
        return _INTERRUPTED
