"""Stands for AWS Lambda's Python runtime: runs one function once, in a process of its own.

It reads one JSON object from standard input: `source` (the inlined text), `handler` (such as
`index.handler`), `event`, `context` (what the handler may ask of it) and `clock_offset` (seconds
by which the function's clock is ahead). It writes the handler's result, as JSON, to the file
descriptor named by `answer`; the function's own output goes to standard output, as in a log.
"""

import json
import os
import sys
import time
import traceback
import types
from collections.abc import Mapping
from typing import Any

__all__ = ["Context", "main"]


class Context:
    """What Lambda hands to a handler beside the event."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Take the function's facts: name, ARN, request id and timeout in seconds."""
        self.function_name = given["function_name"]
        self.invoked_function_arn = given["invoked_function_arn"]
        self.aws_request_id = given["aws_request_id"]
        self._end = time.monotonic() + float(given["timeout"])

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left of the function's time."""
        return max(0, int((self._end - time.monotonic()) * 1000))


def main() -> int:
    """Run the function; return 0 if the handler returned, 1 if it raised."""
    given = json.load(sys.stdin)
    offset = float(given["clock_offset"])
    if offset:
        now = time.time
        time.time = lambda: now() + offset
    file, _, name = given["handler"].partition(".")
    module = types.ModuleType(file)
    sys.modules[file] = module
    answer: dict[str, Any] = {}
    try:
        code = compile(given["source"], f"{file}.py", "exec")
        exec(code, vars(module))  # noqa: S102  (that is what a runtime is for)
        answer["result"] = getattr(module, name)(given["event"], Context(given["context"]))
    except Exception as error:  # noqa: BLE001  (whatever a function raises, Lambda reports)
        traceback.print_exc()
        answer["error"] = {"errorType": type(error).__name__, "errorMessage": str(error)}
    try:
        text = json.dumps(answer)
    except (TypeError, ValueError) as error:
        answer = {"error": {"errorType": "Runtime.MarshalError", "errorMessage": str(error)}}
        text = json.dumps(answer)
    with os.fdopen(int(given["answer"]), "w", encoding="utf-8") as out:
        out.write(text)
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
