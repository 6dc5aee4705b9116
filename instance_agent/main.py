"""condor_annex_ec2: options, the stages one after the other, the exit status."""

import argparse
import logging
import math
import os
import random
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from instance_agent.bounded import together
from instance_agent.errors import (
    AgentError,
    MetadataError,
    NoGrantYetError,
    NotOnEC2Error,
    NoUsableGrantError,
    RefusedError,
    UsageError,
)
from instance_agent.retry import SETTLE_SECONDS, Patience

if TYPE_CHECKING:
    from instance_agent.aws import Account
    from instance_agent.grants import Findings
    from instance_agent.metadata import Metadata
    from instance_agent.policies import View

__all__ = ["Options", "main", "parse", "run"]

PROGRAM = "condor_annex_ec2"
LOG = logging.getLogger("instance_agent")

DEFAULT_CONFIG_DIR = Path("/etc/condor/config.d")
DEFAULT_DEADLINE = 3000.0
LONGEST_DEADLINE = 86400.0
STAGE_SECONDS = 30.0
"""For one round of questions to AWS; a later round may still find it well."""

ANNEX_ID_TAG = "htcondor:annex-id"
_ANNEX_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REGION = re.compile(r"[a-z0-9-]{1,40}")

STATUSES = """\
exit status:
  0  the configuration is installed, or this is no EC2 instance
  1  an option is wrong
  2  the instance's role grants no object that could be meant
  3  the object could not be fetched, by the deadline or for good
  4  what was fetched was refused, or could not be put in place; the old configuration is unchanged
"""


@dataclass(frozen=True)
class Options:
    """The command line.

    Attributes:
        config_dir: HTCondor's LOCAL_CONFIG_DIR.
        deadline: Seconds from the start.
        debug: Whether to say more.
    """

    config_dir: Path = DEFAULT_CONFIG_DIR
    deadline: float = DEFAULT_DEADLINE
    debug: bool = False


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving, and so leaves the exit status to one place."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (-help tells the options)")


class _Version(argparse.Action):
    """Prints the version; looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 20 ms

        try:
            number = version("htcondor-annex")
        except PackageNotFoundError:
            number = "(not installed as a package)"
        sys.stdout.write(f"{PROGRAM} {number}\n")
        parser.exit(0)


def parse(argv: Sequence[str]) -> Options:
    """Options of a command line; as with HTCondor's tools, their beginnings are enough.

    Raises:
        UsageError: They are wrong.
        SystemExit: After -help and -version, with status 0.
    """
    parser = _Parser(
        prog=PROGRAM,
        description="Install the configuration that this EC2 instance's role grants to it.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument(
        "-config-dir",
        metavar="DIR",
        type=Path,
        default=DEFAULT_CONFIG_DIR,
        help="where HTCondor's configuration goes (default %(default)s)",
    )
    parser.add_argument(
        "-deadline",
        metavar="SECONDS",
        type=float,
        default=DEFAULT_DEADLINE,
        help="give up after so long (default %(default).0f)",
    )
    parser.add_argument("-debug", action="store_true", help="say more")
    parser.add_argument("-help", action="help", help="print this and exit")
    parser.add_argument("-version", nargs=0, action=_Version, help="print the version and exit")
    found = parser.parse_args(argv)
    if not (math.isfinite(found.deadline) and 0 < found.deadline <= LONGEST_DEADLINE):
        raise UsageError(
            f"-deadline is a number of seconds above 0 and up to {LONGEST_DEADLINE:.0f}"
        )
    if not str(found.config_dir) or found.config_dir == Path():
        raise UsageError("-config-dir needs a directory")
    return Options(found.config_dir, found.deadline, found.debug)


def run(options: Options, environ: Mapping[str, str], patience: Patience) -> None:
    """Do the work of one boot.

    Raises:
        AgentError: What ended it; its class has the exit status.
    """
    metadata, role, region = _identity(environ, patience)
    # Slow to import, and of no use off EC2.
    from instance_agent.aws import Account  # noqa: PLC0415
    from instance_agent.fetch import fetch_first  # noqa: PLC0415
    from instance_agent.install import install, open_place  # noqa: PLC0415

    with ExitStack() as stack:
        # Before AWS is asked: this also ends what a crash may have interrupted.
        place = patience.persist(
            lambda: stack.enter_context(open_place(options.config_dir)), _say_again
        )
        account = Account(region, lambda: metadata.credentials(role))
        view, findings = patience.persist(
            lambda: _findings(account, metadata, role, patience), _say_again
        )
        _tell(view, findings)
        fetched = patience.persist(
            lambda: fetch_first(
                account.s3(), findings.candidates, place.stage, partial(_round, patience)
            ),
            _say_again,
        )
        url = fetched.candidate.url
        LOG.info("fetched: %s, %d bytes, version %s", url, fetched.size, fetched.version or "-")
        try:
            names = install(place, fetched.path, fetched.candidate.key.rpartition("/")[2])
        except RefusedError as error:
            raise RefusedError(
                f"{url} is not installed: {error}; the configuration is as it was"
            ) from error
    LOG.info("installed: %s", ", ".join(names))


def _identity(environ: Mapping[str, str], patience: Patience) -> tuple["Metadata", str, str]:
    """The metadata service, the instance's role and its region."""
    # requests is slow to import; -help and wrong options need not wait for it.
    from instance_agent.metadata import Metadata, endpoint_from, looks_like_ec2  # noqa: PLC0415

    endpoint, given = endpoint_from(environ)
    metadata = Metadata(endpoint, expected=given, booting=not given and looks_like_ec2())
    patience.persist(metadata.connect, _say_again)
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    if region and not _REGION.fullmatch(region):
        raise UsageError("AWS_REGION or AWS_DEFAULT_REGION is not the name of a region")
    wanted = [metadata.role, metadata.instance_id]
    if not region:
        wanted.append(metadata.region)
    answers = patience.persist(lambda: _together(wanted), _say_again)
    role, instance, region = (*answers, region)[:3]
    LOG.info("metadata: instance %s in %s, role %s", instance, region, role)
    return metadata, role, region


def _together(wanted: Sequence[Callable[[], str]]) -> list[str]:
    try:
        return together(wanted, STAGE_SECONDS)
    except TimeoutError as error:
        raise MetadataError(f"the metadata service: {error}") from error


def _findings(
    account: "Account", metadata: "Metadata", role: str, patience: Patience
) -> tuple["View", "Findings"]:
    """What the role's policies are and grant; at least one candidate.

    Raises:
        NoUsableGrantError: All was seen, and there is none.
        NoGrantYetError: There is none, but not all was seen.
        AgentError: AWS or metadata cannot answer now.
    """
    from instance_agent.grants import find  # noqa: PLC0415 - see run
    from instance_agent.policies import look  # noqa: PLC0415

    view = look(account.iam(), role, partial(_round, patience))
    findings = find(view.policies, partition=account.partition)
    if findings.wants_annex_id:
        annex_id = metadata.tag(ANNEX_ID_TAG)
        if annex_id is not None and not _ANNEX_ID.fullmatch(annex_id.strip()):
            LOG.warning("the tag %s of this instance holds no annex id", ANNEX_ID_TAG)
            annex_id = None
        if annex_id is not None:
            findings = find(view.policies, partition=account.partition, annex_id=annex_id.strip())
    if not findings.candidates:
        raise _no_grant(role, view, findings)
    return view, findings


def _tell(view: "View", findings: "Findings") -> None:
    """What was seen of the role, and what it grants."""
    lacked = f"; could not read {'; '.join(view.lacked)}" if view.lacked else ""
    LOG.info("policies: %d read%s", len(view.policies), lacked)
    for remark in findings.remarks:
        LOG.debug("grants: %s", remark)
    urls = ", ".join(candidate.url for candidate in findings.candidates)
    more = f" ({len(findings.remarks)} remarks with -debug)" if findings.remarks else ""
    LOG.info("grants: %s%s", urls, more)


def _no_grant(role: str, view: "View", findings: "Findings") -> NoUsableGrantError:
    """Why there is nothing to fetch, and whether that may change."""
    reasons = [*findings.remarks, *(f"could not read {line}" for line in view.lacked)]
    told = "; ".join(reasons[:5]) or "it has no policy that speaks of s3:GetObject"
    message = f"role {role} grants no object that could be meant: {told}"
    if view.lacked or not view.policies:
        return NoGrantYetError(message)
    return NoUsableGrantError(message)


def _round(patience: Patience) -> float:
    """Seconds for the next round of questions."""
    return max(0.1, min(STAGE_SECONDS, patience.remaining))


def _say_again(text: str) -> None:
    LOG.warning("trying again: %s", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent; the exit status."""
    logging.basicConfig(stream=sys.stderr, format=f"{PROGRAM}: %(message)s", level=logging.WARNING)
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        # This package's logger alone: botocore's would tell headers, and with them keys.
        LOG.setLevel(logging.DEBUG if options.debug else logging.INFO)
        start = time.monotonic()
        end = start + options.deadline
        patience = Patience(
            clock=time.monotonic,
            sleep=time.sleep,
            uniform=random.uniform,
            deadline=end,
            settled=min(end, start + SETTLE_SECONDS),
        )
        run(options, os.environ, patience)
    except NotOnEC2Error as nothing:
        LOG.info("nothing to do: %s", nothing)
        return nothing.exit_status
    except AgentError as error:
        LOG.critical("%s", error)
        return error.exit_status
    return 0
