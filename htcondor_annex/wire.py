"""What crosses the socket between tool and daemon: version 1 of the local API.

| request | does |
|---|---|
| `POST /v1/annexes` | makes an annex |
| `GET /v1/annexes` | lists the caller's living annexes; `?name=NAME` tells of one, ended or not |
| `PATCH /v1/annexes/NAME` | changes its lease; NAME may be its id |
| `DELETE /v1/annexes/NAME` | ends it |

All but GET answer with JSON lines: any number of `{"progress": ...}` and `{"remark": ...}`, then
one `{"annex": ...}` or one `{"error": ...}`. GET answers with `{"annexes": [...]}`. `forms` reads
and writes the objects.
"""

__all__ = ["ANNEXES_PATH", "MAX_BODY", "MAX_CONFIG"]

ANNEXES_PATH = "/v1/annexes"
MAX_CONFIG = 1024 * 1024
"""Bytes of a config.json; RequestSpotFleet itself takes far less."""
MAX_BODY = MAX_CONFIG + 64 * 1024
"""Bytes of a request."""
