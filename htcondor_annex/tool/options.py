"""The tool's flags: one table, in HTCondor's manner (one dash, any unambiguous prefix).

docs/reference/condor_annex.md is generated from `FLAGS`.
"""

import argparse
import re
from collections.abc import Sequence
from typing import NamedTuple, Never

from htcondor_annex import __version__
from htcondor_annex.errors import ExitStatus

__all__ = [
    "CHECK",
    "CREATE",
    "FLAGS",
    "OFF",
    "SETUP",
    "STATUS",
    "TEARDOWN",
    "UPDATE",
    "USAGE",
    "Flag",
    "parse",
]


class Flag(NamedTuple):
    """One flag: its names (the first is the one we print), its argument's name, its help.

    A named tuple, because dataclasses take longer to import than all of this tool.
    """

    names: tuple[str, ...]
    field: str
    argument: str | None
    help: str
    number: bool = False
    hours: bool = False


FLAGS: tuple[Flag, ...] = (
    Flag(
        ("-access-key-file", "-public-key-file"),
        "access_key_file",
        "FILE",
        "file that holds the access key ID (default: ANNEX_DEFAULT_ACCESS_KEY_FILE)",
    ),
    Flag(
        ("-secret-key-file", "-private-key-file"),
        "secret_key_file",
        "FILE",
        "file that holds the secret access key (default: ANNEX_DEFAULT_SECRET_KEY_FILE)",
    ),
    Flag(
        ("-lease-duration",),
        "lease_duration",
        "SECONDS",
        "how long the annex may live from now (default: ANNEX_DEFAULT_LEASE_DURATION)",
        number=True,
    ),
    Flag(
        ("-duration",),
        "duration",
        "HOURS",
        "the same in hours, such as 2.5",
        hours=True,
    ),
    Flag(
        ("-lease-function-arn",),
        "lease_function_arn",
        "ARN",
        "the LeaseFunctionARN that the lease function's stack outputs "
        "(default: the region's ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN, such as "
        "us_west_2.ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN, or the plain one)",
    ),
    Flag(
        ("-aws-region",),
        "aws_region",
        "REGION",
        "where the annex is to be, such as us-west-2 (default: ANNEX_DEFAULT_AWS_REGION)",
    ),
    Flag(
        ("-count",),
        "count",
        "N",
        "how many units of capacity to ask for, instead of the file's TargetCapacity",
        number=True,
    ),
    Flag(("-annex-name",), "annex_name", "NAME", "the annex's name (`off` and `status`: or id)"),
    Flag(
        ("-valid-from",),
        "valid_from",
        "TIME",
        "ask for machines from then on: UTC, such as 2026-01-31T12:00:00Z, or +SECONDS",
    ),
    Flag(
        ("-valid-until",),
        "valid_until",
        "TIME",
        "have AWS end everything then, whatever happens (default: start plus ANNEX_MAX_LEASE)",
    ),
    Flag(
        ("-ec2-url", "-service-url"),
        "ec2_url",
        "URL",
        "where EC2 is reached (default: ANNEX_DEFAULT_EC2_URL)",
    ),
    Flag(
        ("-events-url",),
        "events_url",
        "URL",
        "where EventBridge is reached (default: ANNEX_DEFAULT_CWE_URL)",
    ),
    Flag(
        ("-lambda-url",),
        "lambda_url",
        "URL",
        "where Lambda is reached (default: ANNEX_DEFAULT_LAMBDA_URL)",
    ),
    Flag(("-debug",), "debug", None, "say on standard error what is sent and what is heard"),
    Flag(
        ("-setup",),
        "setup",
        None,
        "make in AWS what annexes need, or bring it up to date, and write the region's knobs; the "
        "keys may be named as two words (the access key file first) or as FROM INSTANCE",
    ),
    Flag(
        ("-check-setup",),
        "check_setup",
        None,
        "look whether all that -setup makes is there and works; keys as for -setup",
    ),
    Flag(
        ("-teardown",),
        "teardown",
        None,
        "remove what -setup made; refused while annexes live. Keys as for -setup",
    ),
    Flag(
        ("-vpc",),
        "vpc",
        "ID",
        "with -setup: the VPC of the instances' security group (default: as it is, or at first the "
        "region's default VPC)",
    ),
    Flag(
        ("-pool-address",),
        "pool_address",
        "NETWORKS",
        "with -setup: from where the pool's hosts may reach the instances on port 9618, in CIDR "
        "form, with commas between; `none` closes it (default: as it is, or at first closed)",
    ),
    Flag(
        ("-permissions-boundary",),
        "permissions_boundary",
        "ARN",
        "with -setup: a policy that bounds the roles' permissions, where the account's rules ask "
        "for one (default: as it is, or at first none)",
    ),
    Flag(("-yes",), "yes", None, "with -teardown: do not ask"),
)


USAGE = (
    "condor_annex [options] config.json\n"
    "       condor_annex -annex-name NAME -duration HOURS | -lease-duration SECONDS\n"
    "       condor_annex off -annex-name NAME\n"
    "       condor_annex status [-annex-name NAME]\n"
    "       condor_annex -setup [-aws-region REGION] [ACCESS-KEY-FILE SECRET-KEY-FILE | "
    "FROM INSTANCE]\n"
    "       condor_annex -check-setup | -teardown [-aws-region REGION] [...]"
)
CREATE, UPDATE, OFF, STATUS = "create", "update", "off", "status"
SETUP, CHECK, TEARDOWN = "-setup", "-check-setup", "-teardown"
# Who calls the tool by an alias gives his keys and his function to every command.
_ALWAYS = {"access_key_file", "secret_key_file", "lease_function_arn", "debug"}
_SETUPS = {"setup": SETUP, "check_setup": CHECK, "teardown": TEARDOWN}
_SETUPS_OWN = {*_SETUPS, "vpc", "pool_address", "permissions_boundary", "yes"}
_OWN = {
    CREATE: {flag.field for flag in FLAGS} - _SETUPS_OWN,
    SETUP: {"setup", "aws_region", "vpc", "pool_address", "permissions_boundary"},
    CHECK: {"check_setup", "aws_region"},
    TEARDOWN: {"teardown", "aws_region", "yes"},
    UPDATE: {"annex_name", "lease_duration"},
    OFF: {"annex_name"},
    STATUS: {"annex_name"},
}
_NEEDED = {UPDATE: {"annex_name", "lease_duration"}, OFF: {"annex_name"}}


class _Parser(argparse.ArgumentParser):
    """Ends with HTCondor's status for a wrong command line."""

    def error(self, message: str) -> Never:
        """Print what is wrong, and end."""
        self.exit(
            ExitStatus.USAGE,
            f"condor_annex: {message}\nTry 'condor_annex -help'.\n",
        )


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number <= 0:
        raise argparse.ArgumentTypeError(f"must be more than 0, not {number}")
    return number


_HOURS = re.compile(r"[0-9]{0,9}(?:\.[0-9]{0,9})?", re.ASCII)


def _hours(text: str) -> int:
    """Return so many hours in whole seconds."""
    if not _HOURS.fullmatch(text) or not any(map(str.isdigit, text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours")
    seconds = round(float(text) * 3600)
    if seconds < 1:
        raise argparse.ArgumentTypeError(f"must be at least a second, not {text} hours")
    return seconds


def parser() -> argparse.ArgumentParser:
    """Return the parser of the table."""
    made = _Parser(
        prog="condor_annex",
        usage=USAGE,
        description="Adds machines from AWS to the HTCondor pool, under a lease.",
        epilog="On success the Spot Fleet request ID, and nothing else, is on standard output.",
        add_help=False,
    )
    made.add_argument(
        "words",
        metavar="config.json",
        nargs="*",
        help="Spot Fleet configuration, as the AWS console exports it; - is standard input",
    )
    for flag in FLAGS:
        if flag.argument is None:
            made.add_argument(*flag.names, dest=flag.field, action="store_true", help=flag.help)
        else:
            made.add_argument(
                *flag.names,
                dest=flag.field,
                metavar=flag.argument,
                type=_hours if flag.hours else _positive if flag.number else str,
                help=flag.help,
            )
    made.add_argument("-help", action="help", help="show this and end")
    version = f"condor_annex {__version__}"
    made.add_argument("-version", action="version", version=version, help="show it and end")
    return made


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; ends the process with status 1 when it is wrong.

    Returns:
        The flags' values, and `command`: what is to be done.
    """
    made = parser()
    options = made.parse_args(argv)
    if options.duration is not None:
        if options.lease_duration is not None:
            made.error("-duration and -lease-duration mean the same: give one")
        options.lease_duration, options.duration = options.duration, None
    given = {flag.field for flag in FLAGS if getattr(options, flag.field) not in {None, False}}
    command = options.command = _command(made, options, given)
    if missing := sorted(_NEEDED.get(command, set()) - given):
        wanted = ", ".join("-" + field.replace("_", "-") for field in missing)
        if command == UPDATE:
            wanted = wanted.replace("-lease-duration", "-duration or -lease-duration")
            made.error(f"config.json is missing; to change an annex's lease, {wanted} is")
        made.error(f"{command} needs {wanted}")
    if strange := sorted(given - _OWN[command] - _ALWAYS):
        found = ", ".join("-" + field.replace("_", "-") for field in strange)
        made.error(f"{found} goes with {_goes_with(strange)} alone")
    return options


def _command(made: argparse.ArgumentParser, options: argparse.Namespace, given: set[str]) -> str:
    """Return what is to be done, and leave in `config` or `words` what it is done with."""
    options.config = None
    if setups := sorted(_SETUPS.keys() & given):
        if len(setups) > 1:
            made.error(f"give one of {', '.join(_SETUPS[one] for one in setups)}")
        if len(options.words) not in {0, 2}:
            made.error("give the access key file and the secret key file, or FROM INSTANCE")
        if options.words and given & {"access_key_file", "secret_key_file"}:
            made.error("name the key files once")
        return _SETUPS[setups[0]]
    if len(options.words) > 1:
        made.error(f"unrecognized arguments: {' '.join(options.words[1:])}")
    options.config = next(iter(options.words), None)
    if options.config in {OFF, STATUS}:
        return str(options.config)
    return UPDATE if options.config is None else CREATE


def _goes_with(strange: Sequence[str]) -> str:
    return "/".join(_SETUPS.values()) if set(strange) <= _SETUPS_OWN else "config.json"
