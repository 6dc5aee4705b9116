"""`condor_annex`: asks annexd for an annex, for another end of its lease, its end, or how it is.

Of a new annex standard output gets the Spot Fleet request ID and nothing else; what happens goes to
standard error, step by step.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from htcondor_annex.errors import AnnexError, ConfigError, ExitStatus, RequestError
from htcondor_annex.tool.options import CHECK, CREATE, OFF, SETUP, STATUS, TEARDOWN, UPDATE, parse

__all__ = ["main"]

_INTERRUPTED = 130  # as a shell reports SIGINT

# Knobs that stand for flags, a region's own first; endpoints are the daemon's business, so that
# condor_reconfig rules.
_KNOBS = {
    "access_key_file": "ANNEX_DEFAULT_ACCESS_KEY_FILE",
    "secret_key_file": "ANNEX_DEFAULT_SECRET_KEY_FILE",
    "lease_function_arn": "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN",
}
_DURATION = "ANNEX_DEFAULT_LEASE_DURATION"
_PLAIN = ("annex_name", "count", "lease_duration", "ec2_url", "events_url", "lambda_url")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  (a tool's standard error)


def _config(name: str) -> dict[str, Any]:
    """Read the Spot Fleet configuration.

    Raises:
        ConfigError: If it cannot be read, is too large, or is no JSON object.
    """
    from htcondor_annex import strictjson, wire  # noqa: PLC0415  (-help and -version do without)

    shown = "standard input" if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(wire.MAX_CONFIG + 1)
        else:
            with open(name, "rb") as file:  # noqa: PTH123  (pathlib would double the start-up)
                data = file.read(wire.MAX_CONFIG + 1)
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}") from error
    if len(data) > wire.MAX_CONFIG:
        raise ConfigError(
            f"{shown} is larger than {wire.MAX_CONFIG} bytes",
            advice="A Spot Fleet configuration is a few thousand bytes; is this the right file?",
        )
    try:
        document = strictjson.loads(data)
    except strictjson.JsonError as error:
        raise ConfigError(
            f"{shown} is not JSON: {error}",
            advice="Download it again from the AWS console ('JSON config').",
        ) from error
    if not isinstance(document, dict):
        raise ConfigError(f"{shown} must hold a JSON object, the Spot Fleet configuration")
    return document


def _when(text: str | None, flag: str) -> int | None:
    from htcondor_annex.times import parse_when  # noqa: PLC0415  (rarely used)

    if text is None:
        return None
    try:
        return parse_when(text, int(time.time()))
    except ValueError as error:
        raise RequestError(f"{flag}: {error}") from error


def _duration_knob(param: Mapping[str, str]) -> int | None:
    from htcondor_annex.condor import evaluate_integer  # noqa: PLC0415  (as above)

    text = param.get(_DURATION)
    try:
        return None if text is None else evaluate_integer(text)
    except ValueError as error:
        raise RequestError(f"{_DURATION}: {error}") from error


def _own(options: argparse.Namespace, param: Mapping[str, str], knob: str) -> str | None:
    """Return the caller's own knob: of the region, or of any."""
    from htcondor_annex import regions  # noqa: PLC0415  (as above)

    return regions.own_knob(param, regions.chosen(options.aws_region, param), knob)


def _request(options: argparse.Namespace, param: Mapping[str, str]) -> dict[str, Any]:
    """Return the request object: flags first, then the caller's own knobs."""
    request: dict[str, Any] = {name: getattr(options, name) for name in _PLAIN}
    for field, knob in _KNOBS.items():
        request[field] = getattr(options, field) or _own(options, param, knob)
    request["region"] = options.aws_region
    if request["lease_duration"] is None:
        request["lease_duration"] = _duration_knob(param)
    for field in ("access_key_file", "secret_key_file"):
        if request[field]:
            request[field] = os.path.abspath(request[field])  # noqa: PTH100  (no link is followed)
    if options.valid_from is not None or options.valid_until is not None:
        request["valid_from"] = _when(options.valid_from, "-valid-from")
        request["valid_until"] = _when(options.valid_until, "-valid-until")
    request["config"] = _config(options.config)
    return {name: value for name, value in request.items() if value is not None}


def _tell(event: Mapping[str, Any]) -> None:
    """Tell what happens as it happens."""
    if "remark" in event:
        _say(f"Note: {event['remark']}.")
    elif "progress" in event:
        progress = event["progress"]
        text = f"{progress['step']}: {progress['what']} ({progress['seconds']:.2f} s)"
        if progress["error"]:
            text += f": {progress['error']}"
        _say(text[:1].upper() + text[1:])


def _when_of(annex: Mapping[str, Any], field: str) -> str:
    from htcondor_annex.times import iso8601  # noqa: PLC0415  (as above)

    value = annex.get(field)
    return iso8601(value) if isinstance(value, int) else "-"


_COLUMNS = ("NAME", "STATE", "INSTANCES", "LEASE ENDS", "ENDED", "SPOT FLEET", "ANNEX ID")


def _row(annex: Mapping[str, Any]) -> tuple[str, ...]:
    seen = annex.get("instances")
    counts = "-" if seen is None else ", ".join(f"{n} {state}" for state, n in seen.items()) or "0"
    return (
        str(annex.get("name")),
        str(annex.get("state")),
        counts,
        _when_of(annex, "lease_expires"),
        _when_of(annex, "ended"),
        str(annex.get("spot_fleet_request_id") or "-"),
        str(annex.get("id")),
    )


def _show(annexes: Sequence[Mapping[str, Any]]) -> None:
    """Print annexes as a table, and below it what is wrong with any of them."""
    rows = [_COLUMNS, *map(_row, annexes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())  # noqa: T201  (the tool's answer)
    for annex in annexes:
        for field, words in (("waiting_for", "waits for"), ("last_error", "last error")):
            if annex.get(field):
                print(f"{annex['name']}: {words}: {annex[field]}")  # noqa: T201  (as above)


def _target(name: str) -> str:
    from htcondor_annex.wire import ANNEXES_PATH  # noqa: PLC0415  (as above)

    if not all(one.isalnum() or one in "._-" for one in name) or not name.isascii():
        raise RequestError(f"no annex can be named {name!r}")
    return f"{ANNEXES_PATH}/{name}"


def _create(options: argparse.Namespace, param: Mapping[str, str], path: str) -> None:
    from htcondor_annex.tool import client  # noqa: PLC0415  (as above)
    from htcondor_annex.wire import ANNEXES_PATH  # noqa: PLC0415  (as above)

    request = _request(options, param)
    if options.debug:
        _say(f"Socket: {path}")
        _say(f"Request: { {name: value for name, value in request.items() if name != 'config'} }")
    request["request_token"] = os.urandom(16).hex()
    annex = client.ask(path, "POST", ANNEXES_PATH, request, _tell)["annex"]
    _say(
        f"Annex {annex['name']} ({annex['id']}) is {annex['state']} "
        f"until {_when_of(annex, 'lease_expires')}."
    )
    print(annex["spot_fleet_request_id"])  # noqa: T201  (the tool's answer)


def _update(options: argparse.Namespace, path: str) -> None:
    from htcondor_annex.tool import client  # noqa: PLC0415  (as above)

    change = {"lease_duration": options.lease_duration}
    annex = client.ask(path, "PATCH", _target(options.annex_name), change, _tell)["annex"]
    _say(f"Annex {annex['name']} ({annex['id']}) is {annex['state']}.")
    print(f"Lease updated. It ends at {_when_of(annex, 'lease_expires')}.")  # noqa: T201  (as above)


def _off(options: argparse.Namespace, path: str) -> None:
    from htcondor_annex.tool import client  # noqa: PLC0415  (as above)

    annex = client.ask(path, "DELETE", _target(options.annex_name), None, _tell)["annex"]
    print(f"Annex {annex['name']} ({annex['id']}) has ended.")  # noqa: T201  (as above)


def _status(options: argparse.Namespace, path: str) -> None:
    from htcondor_annex.tool import client  # noqa: PLC0415  (as above)
    from htcondor_annex.wire import ANNEXES_PATH  # noqa: PLC0415  (as above)

    name = options.annex_name
    query = "" if name is None else f"?name={_target(name).rpartition('/')[2]}"
    annexes = client.ask(path, "GET", ANNEXES_PATH + query, None, _tell)["annexes"]
    if name is not None and not annexes:
        raise RequestError(f"you have no annex named {name!r}")
    _show(annexes)


def _run(options: argparse.Namespace) -> int:
    from htcondor_annex import condor, knobs  # noqa: PLC0415  (-help and -version do without)

    try:
        param = condor.Params()
        path = knobs.socket_path(param)
        if options.command in {SETUP, CHECK, TEARDOWN}:
            from htcondor_annex.tool.setup import run  # noqa: PLC0415  (as above)

            return run(options, param, path, _say)
        if options.command == CREATE:
            _create(options, param, path)
        else:
            {UPDATE: _update, OFF: _off, STATUS: _status}[options.command](options, path)
    except condor.CondorError as error:
        _say(f"condor_annex: {error}")
        return ExitStatus.LOCATE
    return ExitStatus.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Returns:
        The exit status: 0 only when it is done; see `errors.ExitStatus`.
    """
    options = parse(argv)
    try:
        return _run(options)
    except KeyboardInterrupt:
        _say("condor_annex: interrupted; annexd goes on with what it was asked")
        return _INTERRUPTED
    except AnnexError as error:
        _say(f"condor_annex: {error.message}")
        for problem in error.problems:
            _say(f"  {problem}")
        if error.advice:
            _say(error.advice)
        if error.aws_may_have_acted:
            _say("AWS may have acted all the same.")
        return int(getattr(error, "status", error.exit_status))


if __name__ == "__main__":
    sys.exit(main())
