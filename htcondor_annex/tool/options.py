"""The tool's flags: one table, in HTCondor's manner (one dash, any unambiguous prefix).

docs/reference/condor_annex.md is generated from `FLAGS`.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple, Never

from htcondor_annex import __version__
from htcondor_annex.errors import ExitStatus

__all__ = ["CREATE", "FLAGS", "OFF", "STATUS", "UPDATE", "USAGE", "Flag", "parse"]


class Flag(NamedTuple):
    """One flag: its names (the first is the one we print), its argument's name, its help.

    A named tuple, because dataclasses take longer to import than all of this tool.
    """

    names: tuple[str, ...]
    field: str
    argument: str | None
    help: str
    number: bool = False


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
        ("-lease-function-arn",),
        "lease_function_arn",
        "ARN",
        "the LeaseFunctionARN that the lease function's stack outputs "
        "(default: ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN)",
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
)


USAGE = (
    "condor_annex [options] config.json\n"
    "       condor_annex -annex-name NAME -lease-duration SECONDS\n"
    "       condor_annex off -annex-name NAME\n"
    "       condor_annex status [-annex-name NAME]"
)
CREATE, UPDATE, OFF, STATUS = "create", "update", "off", "status"
# Who calls the tool by an alias gives his keys and his function to every command.
_ALWAYS = {"access_key_file", "secret_key_file", "lease_function_arn", "debug"}
_OWN = {
    UPDATE: {"annex_name", "lease_duration"},
    OFF: {"annex_name"},
    STATUS: {"annex_name"},
}
_NEEDED = {UPDATE: {"annex_name", "lease_duration"}, OFF: {"annex_name"}, STATUS: set[str]()}


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
        "config",
        metavar="config.json",
        nargs="?",
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
                type=_positive if flag.number else str,
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
    if options.config in {OFF, STATUS}:
        options.command = options.config
    else:
        options.command = UPDATE if options.config is None else CREATE
    if options.command == CREATE:
        return options
    given = {flag.field for flag in FLAGS if getattr(options, flag.field) not in {None, False}}
    command = options.command
    if missing := sorted(_NEEDED[command] - given):
        wanted = ", ".join("-" + field.replace("_", "-") for field in missing)
        if command == UPDATE:
            made.error(f"config.json is missing; to change an annex's lease, {wanted} is")
        made.error(f"{command} needs {wanted}")
    if strange := sorted(given - _OWN[command] - _ALWAYS):
        found = ", ".join("-" + field.replace("_", "-") for field in strange)
        made.error(f"{found} goes with config.json alone")
    return options
