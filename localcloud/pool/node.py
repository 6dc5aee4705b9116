"""A machine of the lab: its own root file system, processes, network, name and shared memory."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcloud.closing import Closing
from localcloud.pool.commands import Done, PoolError, run
from localcloud.pool.lab import Held, Lab

__all__ = ["DOMAIN", "Node"]

DOMAIN = "pool.test"
_COPY_SECONDS = 300

# $1: the machine's directory; $2: layers, the uppermost first; $3: its name; then pairs of a
# directory of ours and where it is to be seen, for reading only.
# The last process is the machine's first: it reaps orphans, and ends with our pipe.
_BOOT = """
set -eu
exec 3<&0
directory=$1 layers=$2 name=$3; shift 3
root=$directory/root
mkdir "$directory" "$directory/upper" "$directory/work" "$root"
mount -t overlay -o "lowerdir=$layers,upperdir=$directory/upper,workdir=$directory/work" \
    overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=0755 dev "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0 1 2; do ln -s "/proc/self/fd/$number" "$root/dev/std$(
    echo in out err | cut -d' ' -f$((number + 1)))"; done
echo "$name" >/proc/sys/kernel/hostname
echo "$name" >"$root/etc/hostname"
while [ $# -gt 0 ]; do
    mkdir -p "$root$2"
    mount --bind -o ro "$1" "$root$2"
    shift 2
done
exec chroot "$root" sh -c 'cat <&3 >/dev/null & echo ready; exec >/dev/null; wait $!'
"""


class Node(Closing):
    """A machine; use it as a context manager, or call `close`."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        *,
        layers: Sequence[Path] = (),
        shown: Mapping[Path, str] | None = None,
    ) -> None:
        """Boot it; no service runs yet.

        Args:
            lab: Whose network it is on.
            name: Its host name, without the domain.
            layers: Directories laid over the lab's base, the uppermost last.
            shown: Directories of ours, and where it sees them, for reading only.

        Raises:
            PoolError: If the kernel or the rights of this process do not allow it.
        """
        if not name.isalnum():
            raise PoolError(f"{name!r} cannot be a machine's name")
        number = lab.number()
        self.name = name
        self.full_name = f"{name}.{DOMAIN}"
        directory = lab.storage / str(number)
        self._root = directory / "root"
        stack = ":".join(map(str, [*reversed(layers), lab.base]))
        pairs = [text for ours, there in (shown or {}).items() for text in (str(ours), there)]
        apart = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork"]
        apart += ["--kill-child=SIGKILL", "--propagation", "private"]
        boot = ["sh", "-c", _BOOT, "sh", str(directory), stack, self.full_name, *pairs]
        self._held = Held([*lab.entering, *apart, *boot])
        try:
            self.address = lab.connect(number, self.pid)
            self.know({})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Switch it off, with everything that runs on it; again is no error."""
        self._held.release()

    @property
    def pid(self) -> int:
        """A process of ours whose namespaces are the machine's, but for that of process ids."""
        return self._held.pid

    def entering(self, user: str = "root") -> list[str]:
        """Return the command that runs another on this machine, in a plain environment.

        Args:
            user: Who runs it, with all of his groups and no more rights than he has.
        """
        home = "/root" if user == "root" else f"/home/{user}"
        command = ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net"]
        # The holder itself is outside: its children are the machine's processes.
        command += [f"--pid=/proc/{self.pid}/ns/pid_for_children", "--"]
        command += [
            "env",
            "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
        command += [f"HOME={home}", f"USER={user}", "LANG=C.UTF-8", "chroot", str(self._root)]
        if user != "root":
            command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        # A cd of its own: `env -C` would have to find the directory before the chroot.
        return [*command, "sh", "-c", 'cd "$HOME" && exec "$@"', "sh"]

    def run(
        self,
        *argv: str,
        user: str = "root",
        stdin: str = "",
        seconds: float = 60,
        check: bool = True,
    ) -> Done:
        """Run a program there to its end, in the user's home.

        Args:
            argv: The program and its arguments.
            user: Who runs it.
            stdin: What it reads on its standard input.
            seconds: How long it may take; it is ended there, not left behind.
            check: Whether an exit status other than 0 is an error.

        Raises:
            PoolError: If it takes too long or (with `check`) fails.
        """
        limited = ["timeout", "--kill-after=2", f"{seconds:g}", *argv]
        done = run([*self.entering(user), *limited], stdin=stdin, seconds=seconds + 10, check=False)
        if check and done.status != 0:
            raise PoolError(
                f"{self.name}: {user}: {shlex.join(argv)}: exit status {done.status}: "
                f"{(done.out + done.err).strip()[-3000:]}"
            )
        return done

    def write(self, path: str, content: str, *, owner: str = "root", mode: int = 0o644) -> None:
        """Write a file there, with its directories.

        Args:
            path: Absolute.
            content: The whole of it.
            owner: Whose it is to be, user and group.
            mode: Its permissions.
        """
        ids = [f"--owner={owner}", f"--group={owner}", f"--mode={mode:04o}"]
        self.run("install", "-D", *ids, "/dev/stdin", path, stdin=content)

    def read(self, path: str) -> str:
        """Return a file's text, or nothing if there is no such file."""
        done = self.run("cat", path, check=False)
        return done.out if done.status == 0 else ""

    def take(self, path: str, directory: Path) -> None:
        """Copy a directory of this machine, under its own path, into one of ours.

        Args:
            path: Absolute.
            directory: Where it appears as `directory` + `path`.
        """
        goal = directory / path.strip("/")
        goal.parent.mkdir(parents=True, exist_ok=True)
        entering = ["nsenter", "--target", str(self.pid), "--mount", "--"]
        run([*entering, "cp", "--archive", f"{self._root}{path}", str(goal)], seconds=_COPY_SECONDS)

    def give(self, file: Path, path: str) -> None:
        """Copy a file of ours to this machine.

        Args:
            file: Ours.
            path: Absolute, there.
        """
        entering = ["nsenter", "--target", str(self.pid), "--mount", "--"]
        run([*entering, "install", "-D", "-m", "0644", str(file), f"{self._root}{path}"])

    def know(self, hosts: Mapping[str, str]) -> None:
        """Write itself and these machines into its /etc/hosts.

        Args:
            hosts: Name, without the domain, to address.
        """
        lines = [
            f"{address} {name}.{DOMAIN} {name}\n"
            for name, address in {**hosts, self.name: self.address}.items()
        ]
        self.write("/etc/hosts", "127.0.0.1 localhost\n" + "".join(lines))
