"""A local cloud that HTCondor's own condor_annex can speak with too; a process of its own.

HTCondor's ec2_gahp gives every body the content type `application/x-amz-json-1.1`. Lambda, a
service with REST, does not mind; moto takes the content type for the protocol and finds no call.
"""

import os
import sys
import threading
from collections.abc import Iterable

from localcloud import server
from localcloud.faults import StartResponse, WSGIApp
from localcloud.wire import Environ

__all__ = ["main"]

_REST = "/2015-03-31/functions"


def _mended(app: WSGIApp) -> WSGIApp:
    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(_REST):
            environ["CONTENT_TYPE"] = "application/json"
        return app(environ, start_response)

    return answer


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> int:
    """Serve until the standard input ends; print the endpoint first."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # as the local cloud does
    cloud, _ = server.make()
    cloud.app = _mended(cloud.app)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{cloud.server_port}\n")
    sys.stdout.flush()
    cloud.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
