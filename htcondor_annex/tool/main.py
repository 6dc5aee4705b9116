"""`condor_annex [options] config.json`: asks annexd for an annex.

Standard output gets the Spot Fleet request ID and nothing else; what happens goes to standard
error, step by step.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from htcondor_annex.errors import AnnexError, ConfigError, ExitStatus, ReplyError, RequestError
from htcondor_annex.tool.options import parse

__all__ = ["main"]

_INTERRUPTED = 130  # as a shell reports SIGINT

# Knobs that stand for flags; endpoints are the daemon's business, so that condor_reconfig rules.
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


def _request(options: argparse.Namespace, param: Mapping[str, str]) -> dict[str, Any]:
    """Return the request object: flags first, then the caller's own knobs."""
    request: dict[str, Any] = {name: getattr(options, name) for name in _PLAIN}
    for field, knob in _KNOBS.items():
        request[field] = getattr(options, field) or param.get(knob)
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


def _follow(events: Iterable[Mapping[str, Any]]) -> str:
    """Tell what happens as it happens, and return the Spot Fleet request ID.

    Raises:
        ReplyError: If the events end before there is one.
    """
    for event in events:
        if "remark" in event:
            _say(f"Note: {event['remark']}.")
        elif "progress" in event:
            progress = event["progress"]
            text = f"{progress['step']}: {progress['what']} ({progress['seconds']:.2f} s)"
            _say(text[:1].upper() + text[1:])
        elif "annex" in event:
            annex = event["annex"]
            from htcondor_annex.times import iso8601  # noqa: PLC0415  (as above)

            _say(
                f"Annex {annex['name']} ({annex['id']}) is active until "
                f"{iso8601(annex['lease_expires'])}."
            )
            return str(annex["spot_fleet_request_id"])
    raise ReplyError(
        "the daemon's answer ended too early",
        advice="It may still be at work: look at its log, ANNEXD_LOG.",
    )


def _run(options: argparse.Namespace) -> int:
    from htcondor_annex import condor, knobs  # noqa: PLC0415  (-help and -version do without)
    from htcondor_annex.tool import client  # noqa: PLC0415  (as above)

    try:
        param = condor.Params()
        request = _request(options, param)
        path = knobs.socket_path(param)
        if options.debug:
            _say(f"Socket: {path}")
            _say(
                f"Request: { {name: value for name, value in request.items() if name != 'config'} }"
            )
        print(_follow(client.request_annex(path, request)))  # noqa: T201  (the tool's answer)
    except condor.CondorError as error:
        _say(f"condor_annex: {error}")
        return ExitStatus.LOCATE
    return ExitStatus.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Returns:
        The exit status: 0 only when the annex is active; see `errors.ExitStatus`.
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
