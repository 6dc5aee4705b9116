"""The instance agent: finds, from the instance's own role, the configuration granted to it.

It runs as root at boot, before anyone looks, and so trusts nothing that it reads. The way of the
data: `metadata` (who am I) -> `policies` (what may I read) -> `grants` (which one object is meant;
pure) -> `fetch` (get it) -> `tarball` and `install` (put it in its place). `main` ties them
together; `retry` waits, `bounded` sees that no wait is without an end.

The package imports nothing of htcondor_annex: an instance installs it alone.
"""
