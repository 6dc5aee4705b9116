"""Writes the reference pages that come from the code: knobs, flags, states.

python docs/generate.py          writes them
python docs/generate.py -check   says which are stale, and ends with 1 if any is
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from htcondor_annex.annex import TRANSITIONS, AnnexState, LeaseMethod
from htcondor_annex.errors import ExitStatus
from htcondor_annex.knobs import KNOBS
from htcondor_annex.provision.table import STEPS, UPDATE
from htcondor_annex.setup.regionknobs import HELP
from htcondor_annex.templates.permissions import GRANTS
from htcondor_annex.templates.reasons import INSTANCE_ROLE, LEASE_FUNCTION
from htcondor_annex.tool.options import FLAGS, USAGE

__all__ = ["main", "pages"]

_REFERENCE = Path(__file__).parent / "reference"
_NOTE = "<!-- Written by docs/generate.py from the code; change it there. -->\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _knobs() -> str:
    rows = [
        f"| `{knob.name}` | {knob.kind} | "
        f"{'' if knob.default is None else f'`{knob.default}`'} | {_cell(knob.help)} |"
        for knob in KNOBS
    ]
    return "\n".join(
        [
            "# Knobs",
            "",
            _NOTE,
            "Set in HTCondor's configuration; `condor_reconfig` makes annexd read them again.",
            "Numbers may be expressions, as everywhere in HTCondor. Besides these, HTCondor's own",
            "`ANNEXD`, `ANNEXD_ARGS`, `ANNEXD_LOG` and `ANNEXD_DEBUG` apply as to any daemon.",
            "",
            "| knob | kind | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Those of -setup",
            "",
            "The tool alone reads them, or writes them for what is to come. Those that it writes",
            "have their region before their names (`us_west_2.ANNEX_DEFAULT_S3_BUCKET`); the",
            "default region's are plain as well.",
            "",
            "| knob | meaning |",
            "|---|---|",
            *[f"| `{name}` | {_cell(text)} |" for name, text in HELP.items()],
            "",
        ]
    )


def _tool() -> str:
    rows = []
    for flag in FLAGS:
        argument = f" {flag.argument}" if flag.argument else ""
        names = " or ".join(f"`{name}{argument}`" for name in flag.names)
        rows.append(f"| {names} | {_cell(flag.help)} |")
    statuses = {
        ExitStatus.OK: "it is done; of a new annex the Spot Fleet request ID is on standard output",
        ExitStatus.USAGE: "the command line, or what it asks for, is wrong",
        ExitStatus.JSON: "config.json cannot be read, is not JSON, or is no such configuration",
        ExitStatus.LOCATE: "no condor_annexd was found",
        ExitStatus.SEND: "the request could not be sent",
        ExitStatus.REPLY: "the daemon, or AWS, refused or failed; nothing is left",
        ExitStatus.USER_DATA: "(kept for user data)",
    }
    return "\n".join(
        [
            "# condor_annex",
            "",
            _NOTE,
            "```",
            *[line.strip() for line in USAGE.splitlines()],
            "```",
            "",
            "The first adds machines from AWS to the pool: `config.json` is a Spot Fleet",
            "configuration as the AWS console exports it; `-` is standard input. The second lets",
            "an annex's lease end so long from now. `off` ends an annex and waits until",
            "AWS shows that nothing of it is left. `status` lists your annexes; named, also one",
            "that has ended of late. `-setup` makes in AWS what annexes need, `-check-setup` looks",
            "whether it is well, `-teardown` removes it ([how](../how-to/set-up-aws.md)).",
            "",
            "Any unambiguous beginning of a flag will do: `-public`, `-secret`. Whatever is asked",
            "is asked again, for a minute, when annexd goes away meanwhile: it makes no second",
            "annex.",
            "",
            "| flag | meaning |",
            "|---|---|",
            *rows,
            "| `-help`, `-version` | show it and end |",
            "",
            "## Exit status",
            "",
            "| status | meaning |",
            "|---|---|",
            *[f"| {int(status)} | {text} |" for status, text in statuses.items()],
            "",
        ]
    )


def _states() -> str:
    names = {state: state.value.replace(" ", "_") for state in AnnexState}
    moves = [
        f"    {names[state]} --> {names[after]}: {event.value}"
        for (state, event), after in TRANSITIONS.items()
    ]
    final = set(AnnexState) - {state for state, _ in TRANSITIONS}
    ends = [f"    {names[state]} --> [*]" for state in AnnexState if state in final]
    steps = [
        f"| {method} | {step.name} | {', '.join(sorted(step.needs)) or 'nothing'} | "
        f"{'is undone' if step.leaves else 'leaves nothing'} |"
        for method in LeaseMethod
        for step in STEPS[method].values()
    ]
    updates = [f"- {method}: " + ", ".join(UPDATE[method]) + "." for method in LeaseMethod]
    return "\n".join(
        [
            "# The life of an annex",
            "",
            _NOTE,
            "```mermaid",
            "stateDiagram-v2",
            f"    [*] --> {names[AnnexState.REQUESTED]}",
            *moves,
            *ends,
            "```",
            "",
            "## The steps of provisioning",
            "",
            "A step starts when all that it needs is done; the lease stands before any capacity is",
            "asked for. After a failure the steps are undone from the last to the first. An annex",
            "that ends is undone in the same order. `ANNEX_LEASE_METHOD` says which steps there",
            "are.",
            "",
            "| method | step | needs | on failure |",
            "|---|---|---|---|",
            *steps,
            "",
            "## The steps of a lease's update",
            "",
            "The state stays `active`. By method, in this order:",
            "",
            *updates,
            "",
        ]
    )


def _reasons(reasons: Mapping[str, str]) -> list[str]:
    rows = [f"| `{action}` | {_cell(reason)} |" for action, reason in reasons.items()]
    return ["| action | why |", "|---|---|", *rows, ""]


def _permissions() -> str:
    lines = [
        "# Permissions",
        "",
        _NOTE,
        "Every permission that anything of this project has in AWS, and why. No action has a",
        "wildcard; what can end something asks for a tag of an annex, or of a lease.",
        "",
    ]
    for who, title, what in (
        (
            "annexes",
            "## annexd-policy.json: for every annex",
            "For the keys that `condor_annex` names, with which annexd asks for annexes.",
        ),
        (
            "setup",
            "## annexd-policy.json: for the set-up",
            "For the keys of `-setup`, `-check-setup` and `-teardown`; others may go without.",
        ),
    ):
        lines += [title, "", what, ""]
        for grant in (one for one in GRANTS if one.who == who):
            on = ", ".join(f"`{one.format(partition='aws')}`" for one in grant.resources)
            lines += [f"### {grant.sid}", "", f"On {on}", ""]
            if grant.condition:
                condition = json.dumps(grant.condition).replace("{partition}", "aws")
                lines += [f"if `{condition}`.", ""]
            lines += _reasons(grant.actions)
    lines += [
        "## lease-function.json: the role of the lease function",
        "",
        *_reasons(LEASE_FUNCTION),
        "EventBridge may run the function for rules `htcondor-annex-*` and for the sweep of the",
        "stack, in the same account, and nobody else may.",
        "",
        "## instance-role.json: the role of the instances",
        "",
        *_reasons(INSTANCE_ROLE),
        "## fleet-role.json: the role of Spot Fleets",
        "",
        "AWS's own managed policy `AmazonEC2SpotFleetTaggingRole`, which the EC2 User Guide asks",
        'for ("Spot Fleet permissions"); only `spotfleet.amazonaws.com` may take the role.',
        "",
        "## configuration-bucket.json: the bucket",
        "",
        "Its policy allows nothing to anybody, and refuses what comes without TLS.",
        "",
    ]
    return "\n".join(lines)


def pages() -> dict[Path, str]:
    """Return each generated page's path and text."""
    return {
        _REFERENCE / "knobs.md": _knobs(),
        _REFERENCE / "condor_annex.md": _tool(),
        _REFERENCE / "annex-states.md": _states(),
        _REFERENCE / "permissions.md": _permissions(),
    }


def main(argv: Sequence[str]) -> int:
    """Write the pages, or check them."""
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "-check" in argv:
        for path in stale:
            sys.stderr.write(f"{path.name} is stale: run make docs\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
