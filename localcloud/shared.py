"""What the local cloud's process and its handle must agree on."""

__all__ = ["ACCESS_KEY", "CONTROL", "HIDE", "ONLOOKER", "SECRET_KEY"]

ACCESS_KEY = "AKIALOCALCLOUD000000"
SECRET_KEY = "localcloud"  # noqa: S105  (opens nothing but the local cloud)

CONTROL = "/_localcloud/"
"""Requests to paths below it are for the local cloud itself."""

ONLOOKER = "localcloud-onlooker"
"""In the User-Agent of a client that looks without being seen; see `LocalCloud.client`."""

HIDE = "HTTP_X_LOCALCLOUD_HIDE"
"""In the WSGI environment of a call: the seconds for which what it makes is hidden."""
