"""`python -m htcondor_annex.templates`: print or write the CloudFormation templates."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from htcondor_annex.templates.bucket import bucket_template
from htcondor_annex.templates.files import DIRECTORY, as_text, stale, write
from htcondor_annex.templates.fleetrole import fleet_role_template
from htcondor_annex.templates.lease import lease_template
from htcondor_annex.templates.network import PoolAddressError, security_group_template
from htcondor_annex.templates.objects import ObjectNameError, check_object
from htcondor_annex.templates.parts import Template
from htcondor_annex.templates.permissions import PARTITIONS, annexd_policy
from htcondor_annex.templates.role import role_template

__all__ = ["main"]

_PROGRAM = "python -m htcondor_annex.templates"
_PLAIN: dict[str, tuple[str, Callable[[], Template]]] = {
    "lease": ("print the template of the lease function", lease_template),
    "bucket": ("print the template of the configuration bucket", bucket_template),
    "fleet-role": ("print the template of the role of Spot Fleets", fleet_role_template),
}


class _Parser(argparse.ArgumentParser):
    """Ends with 1 on wrong usage, as HTCondor's tools do."""

    def error(self, message: str) -> None:  # type: ignore[override]  # it never returns, as its own
        self.exit(1, f"{self.prog}: {message}\nTry {self.prog} -help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_PROGRAM, description=__doc__, add_help=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what, add_help=False)
        command.add_argument("-help", "-h", action="help", help="say this")
        return command

    printing = [add(name, what) for name, (what, _) in _PLAIN.items()]
    role = add("role", "print the template of an instance role that may get one S3 object")
    role.add_argument("bucket", metavar="BUCKET", help="the object's bucket")
    role.add_argument("key", metavar="KEY", help="the object's key")
    printing.append(role)
    group = add("security-group", "print the template of the instances' security group")
    group.add_argument(
        "addresses", metavar="CIDR", nargs="*", help="network of the pool's hosts; none: no way in"
    )
    printing.append(group)
    permissions = add("policy", "print the policy for the keys of annexd and of -setup")
    permissions.add_argument("-partition", choices=PARTITIONS, default="aws", help="of AWS")
    printing.append(permissions)
    for command in printing:
        command.add_argument("-pretty-print", action="store_true", help="indent the JSON")
    for name, what in (
        ("write", "bring the committed files up to date"),
        ("check", "say which committed files are not as generated"),
    ):
        add(name, what).add_argument("directory", nargs="?", type=Path, default=DIRECTORY)
    parser.add_argument("-help", "-h", action="help", help="say this")
    return parser


def _printed(options: argparse.Namespace) -> Template:
    """Return what is to be printed.

    Raises:
        ObjectNameError: If the object cannot be a role's.
        PoolAddressError: If a network cannot be a pool's.
    """
    if options.command == "role":
        return role_template(check_object(options.bucket, options.key))
    if options.command == "security-group":
        return security_group_template(options.addresses)
    if options.command == "policy":
        return annexd_policy(options.partition)
    return _PLAIN[options.command][1]()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        0, or 1 if the arguments are wrong, a file cannot be written, or `check` found one stale.
    """
    options = _parser().parse_args(argv)
    if options.command == "write":
        try:
            changed = write(options.directory)
        except OSError as error:
            sys.stderr.write(f"{_PROGRAM}: cannot write {error.filename}: {error.strerror}\n")
            return 1
        sys.stderr.write("".join(f"written: {options.directory / name}\n" for name in changed))
        return 0
    if options.command == "check":
        found = stale(options.directory)
        sys.stderr.write("".join(f"not as generated: {name}\n" for name in found))
        return 1 if found else 0
    try:
        template = _printed(options)
    except ObjectNameError as error:
        sys.stderr.write("".join(f"{_PROGRAM}: {line}\n" for line in error.problems))
        sys.stderr.write("Give the bucket's name and one object's key, no URL and no ARN.\n")
        return 1
    except PoolAddressError as error:
        sys.stderr.write(f"{_PROGRAM}: {error}\n")
        return 1
    sys.stdout.write(as_text(template, pretty=options.pretty_print))
    return 0


if __name__ == "__main__":
    sys.exit(main())
