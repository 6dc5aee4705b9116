"""A real HTCondor pool on one machine, as root, with neither docker nor systemd.

    with Lab(made_base(suite())) as lab:                     # a private network
        layer = made_layer(lab, Bindings.DEBIAN, wheel)      # what the project needs
        with Node(lab, "cm", layers=[layer]) as node:        # a machine on it
            install(node, Bindings.DEBIAN, wheel)            # the project itself
            with Door(node, cloud_port), Pool(node, {"80annexd": text}) as pool:
                pool.node.run("condor_status", "-any")

HTCondor is Debian's own package in a root file system made by debootstrap, once, in the user's
cache (HTCONDOR_ANNEX_CACHE; POOL_SUITE=sid has the newest HTCondor). Machines are kernel
namespaces: see `lab`, which also says why nothing can be left behind.
"""

from localcloud.pool.chroot import made_base, suite
from localcloud.pool.commands import Done, PoolError
from localcloud.pool.door import Door
from localcloud.pool.lab import Lab
from localcloud.pool.master import Master
from localcloud.pool.needs import missing_parts
from localcloud.pool.node import Node
from localcloud.pool.pool import CONFIG_DIR, WORKER_CONFIG, Pool, wait_until
from localcloud.pool.wheels import Bindings, built_wheel, install, made_layer

__all__ = [
    "CONFIG_DIR",
    "WORKER_CONFIG",
    "Bindings",
    "Done",
    "Door",
    "Lab",
    "Master",
    "Node",
    "Pool",
    "PoolError",
    "built_wheel",
    "install",
    "made_base",
    "made_layer",
    "missing_parts",
    "suite",
    "wait_until",
]
