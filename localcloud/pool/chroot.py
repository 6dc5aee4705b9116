"""A Debian root file system with HTCondor in it, made once by debootstrap.

Everything that has to be mounted for that is mounted in a namespace of its own: an interrupted
build leaves files, which the next one throws away, and no mounts.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from localcloud.pool.cache import digest, made_once, tell
from localcloud.pool.commands import PoolError, run
from localcloud.pool.packages import INSTALL_SECONDS, build_environment, have

__all__ = ["SUITES", "USERS", "made_base", "suite"]

SUITES = ("trixie", "sid")
"""Debian's stable release, which a test suite can rely on, and its newest HTCondor."""
USERS = ("tester", "other")
"""Two users with no rights."""
_PACKAGES = ("condor", "iproute2", "procps", "python3", "python3-pip", "python3-venv")

# Inside: no service starts, dpkg need not reach the disk, and a mirror's index may be old.
# Names are looked up in /etc/hosts alone: HTCondor's daemons would wait for an absent DNS.
_FILL = """
set -eu
root=$1; shift
printf '#!/bin/sh\\nexit 101\\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for file in resolv.conf hosts; do
    touch "$root/etc/$file"
    mount --bind "/etc/$file" "$root/etc/$file"
done
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
chroot "$root" apt-get -q -o Acquire::Check-Valid-Until=false update
chroot "$root" apt-get -q -y --no-install-recommends install "$@"
for file in resolv.conf hosts; do
    umount "$root/etc/$file"
    : >"$root/etc/$file"
done
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
if grep -q '^hosts:' "$root/etc/nsswitch.conf"; then
    sed -i 's/^hosts:.*/hosts: files/' "$root/etc/nsswitch.conf"
else
    echo 'hosts: files' >>"$root/etc/nsswitch.conf"
fi
"""


def suite(environment: Mapping[str, str] = os.environ) -> str:
    """Return the Debian suite to run: POOL_SUITE, or the stable one.

    Raises:
        PoolError: If POOL_SUITE is none that has HTCondor.
    """
    name = environment.get("POOL_SUITE") or SUITES[0]
    if name not in SUITES:
        raise PoolError(f"POOL_SUITE={name!r}: choose one of {', '.join(SUITES)}")
    return name


def _mirror() -> str:
    """Return the Debian mirror that this machine uses already, or POOL_MIRROR.

    Raises:
        PoolError: If there is none.
    """
    if given := os.environ.get("POOL_MIRROR"):
        return given
    question = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    question += ["Created-By: Packages", "Origin: Debian", "Label: Debian"]
    answer = run(question).out.split()
    if not answer:  # no index yet, as in a fresh image
        run(["apt-get", "-q", "update"], seconds=INSTALL_SECONDS, environment=build_environment())
        answer = run(question).out.split()
    if not answer:
        raise PoolError("apt-get knows no Debian mirror here: name one in POOL_MIRROR")
    return answer[0]


def _make(name: str, directory: Path) -> None:
    """Fill a directory with Debian's root file system."""
    mirror = _mirror()
    have("debootstrap", ["debootstrap", "debian-archive-keyring"])
    tell(f"making a Debian {name} with HTCondor; once, about a minute")
    # Namespaces of its own for each step: what is mounted goes with it, and so does every process
    # when this one ends or loses patience.
    apart = ["setpriv", "--pdeathsig", "KILL"]
    apart += ["unshare", "--mount", "--propagation", "private"]
    apart += ["--pid", "--fork", "--kill-child=SIGKILL"]
    # A mirror whose signature cannot be checked is refused, not merely warned of.
    bootstrap = ["debootstrap", "--force-check-gpg", "--variant=minbase"]
    bootstrap += ["--include=ca-certificates"]
    for command in (
        [*bootstrap, name, str(directory), mirror],
        ["sh", "-c", _FILL, "sh", str(directory), *_PACKAGES],
        *(["chroot", str(directory), "useradd", "-m", "-s", "/bin/sh", user] for user in USERS),
    ):
        run([*apart, *command], seconds=INSTALL_SECONDS, environment=build_environment())
    if not (directory / "usr/sbin/condor_master").exists():
        raise PoolError(f"Debian {name}'s package condor has no /usr/sbin/condor_master")


def made_base(name: str) -> Path:
    """Return the root file system of a Debian suite, made now if there is none.

    Args:
        name: One of `SUITES`.

    Raises:
        PoolError: If it cannot be made, with what the failing program said.
    """
    recipe = digest(_FILL, *_PACKAGES, *USERS)
    return made_once(f"base-{name}-{recipe}", lambda directory: _make(name, directory))
