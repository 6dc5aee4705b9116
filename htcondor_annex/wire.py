"""What crosses the socket between tool and daemon: version 1 of the local API.

`POST /v1/annexes` takes a request object and answers with JSON lines: any number of
`{"progress": ...}` and `{"remark": ...}`, then one `{"annex": ...}` or one `{"error": ...}`.
`GET /v1/annexes` answers with `{"annexes": [...]}`, the caller's own. `forms` reads and writes
the objects.
"""

__all__ = ["ANNEXES_PATH", "MAX_BODY", "MAX_CONFIG"]

ANNEXES_PATH = "/v1/annexes"
MAX_CONFIG = 1024 * 1024
"""Bytes of a config.json; RequestSpotFleet itself takes far less."""
MAX_BODY = MAX_CONFIG + 64 * 1024
"""Bytes of a request."""
