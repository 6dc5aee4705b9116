"""The only door to the HTCondor bindings.

HTCondor 24 and later have `htcondor2` and `classad2`; in 23 the same calls stand under
`htcondor` and `classad`, beside an `htcondor2` that is not yet whole (no `set_ready_state`).
PyPI's package `classad` is another project's and never installed by us.

The bindings keep Python's interpreter lock while they wait for the network, so what talks to the
collector or the master is called in a process of its own: see `daemon/poollink.py`.
"""

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

__all__ = [
    "CondorError",
    "Params",
    "advertise",
    "enable_log",
    "evaluate_integer",
    "has_collector",
    "invalidate",
    "local_name",
    "log",
    "quote",
    "reload_config",
    "send_alive",
    "set_ready_state",
    "set_subsystem",
    "unquote",
    "version",
]


class CondorError(Exception):
    """The bindings are missing, or a call to them failed."""


@cache
def _modules() -> tuple[ModuleType, ModuleType]:
    """Return the bindings and the ClassAd module, of whichever version is installed."""
    missing: list[str] = []
    for condor, classad in (("htcondor2", "classad2"), ("htcondor", "classad")):
        try:
            found = importlib.import_module(condor), importlib.import_module(classad)
        except ImportError as error:
            missing.append(f"{condor}: {error}")
            continue
        if hasattr(found[0], "set_ready_state"):
            return found
        missing.append(f"{condor}: too old")
    raise CondorError(
        "HTCondor's Python bindings cannot be imported ("
        + "; ".join(missing)
        + "): install the package 'htcondor' from PyPI or your distribution's bindings"
    )


def _htcondor() -> ModuleType:
    return _modules()[0]


def _failures() -> tuple[type[BaseException], ...]:
    """Return what the bindings raise: their own root, and what older ones raise instead."""
    own = getattr(_htcondor(), "HTCondorException", RuntimeError)
    return (own, RuntimeError, OSError, ValueError)


_prefixes = [""]
"""What knobs' names may have before them, the first to be looked for first."""


class Params(Mapping[str, str]):
    """HTCondor's configuration as text: knob name to expanded value; unset knobs are absent.

    With a local name a knob of that name's own comes before the plain one.
    """

    def __getitem__(self, name: str) -> str:
        """Return the knob's value; raises KeyError when it is unset or empty."""
        for prefix in _prefixes:
            if prefix and f"{prefix}{name}" not in _htcondor().param:
                continue
            value = _htcondor().param[f"{prefix}{name}"]
            if value is not None and str(value).strip():
                return str(value).strip()
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the knobs that are set."""
        return iter(_htcondor().param)

    def __len__(self) -> int:
        """Return how many knobs are set."""
        return sum(1 for _ in self)


def evaluate_integer(text: str) -> int:
    """Return what a numeric knob is worth: HTCondor lets it be an expression (`7 * 24 * 3600`).

    Raises:
        ValueError: If it does not evaluate to a whole number.
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = _modules()[1].ExprTree(text).eval()
    except Exception as error:  # the two versions raise classes of their own, with no common root
        raise ValueError(f"{text!r} is no expression") from error
    # ClassAd's Undefined and Error are int too, by inheritance.
    if type(value) not in (int, float) or value != int(value):
        raise ValueError(f"{text!r} is no whole number")
    return int(value)


def quote(text: str) -> str:
    """Return a text as a ClassAd string, on one line."""
    return str(_modules()[1].quote(text))


def unquote(expression: str) -> str:
    """Return the text of a ClassAd string.

    Raises:
        ValueError: If the expression is none.
    """
    try:
        return str(_modules()[1].unquote(expression))
    except Exception as error:  # classes of the bindings' own, with no common root
        raise ValueError(f"{expression[:80]!r} is no ClassAd string") from error


def version() -> str:
    """Return HTCondor's version, such as `25.14.1`, or the bindings' whole version line."""
    words = str(_htcondor().version()).split()
    return words[1] if len(words) > 1 else str(_htcondor().version())


def local_name() -> str:
    """Return the host's full name as HTCondor sees it."""
    return Params().get("FULL_HOSTNAME", os.uname().nodename)


def set_subsystem(name: str, local_name: str = "") -> None:
    """Tell HTCondor which daemon this is, so that its knobs and its log apply.

    Args:
        name: The kind of daemon.
        local_name: Which of several of that kind, as condor_master names it (-local-name).
    """
    _prefixes[:] = [f"{local_name}.", ""] if local_name else [""]
    condor = _htcondor()
    condor.set_subsystem(name, condor.SubsystemType.Daemon)


def reload_config() -> None:
    """Read HTCondor's configuration again.

    Raises:
        CondorError: If it cannot be read.
    """
    try:
        _htcondor().reload_config()
    except _failures() as error:
        raise CondorError(f"the HTCondor configuration cannot be read again: {error}") from error


def enable_log(knob: str, path: str) -> None:
    """Send `log` to the subsystem's log.

    The bindings end the process (status 44) when it cannot be written: look first.

    Args:
        knob: The log's knob, such as `ANNEXD_LOG`; set here.
        path: The file.
    """
    _htcondor().param[knob] = path
    _htcondor().enable_log()


def log(text: str, *, debug: bool = False) -> None:
    """Write one line to the log; `debug` lines only where ANNEXD_DEBUG has D_FULLDEBUG."""
    levels = _htcondor().LogLevel
    _htcondor().log(levels.FullDebug if debug else levels.Always, text)


def has_collector() -> bool:
    """Tell whether the configuration names a collector; an unset CONDOR_HOST leaves its macro."""
    return "$(" not in Params().get("COLLECTOR_HOST", "$(CONDOR_HOST)")


def _collector() -> Any:  # noqa: ANN401  (the bindings are untyped)
    return _htcondor().Collector()


def advertise(ads: Iterable[Mapping[str, Any]]) -> None:
    """Send ads of any type to the pool's collector; blocks up to the bindings' time-out.

    Raises:
        CondorError: If no collector took it.
    """
    try:
        classads = [_modules()[1].ClassAd(dict(ad)) for ad in ads]
        _collector().advertise(classads, "UPDATE_AD_GENERIC", True)  # noqa: FBT003  (positional only in both versions)
    except _failures() as error:
        raise CondorError(str(error)) from error


def invalidate(mytype: str, attribute: str, value: str) -> None:
    """Withdraw the ads of a type that have this value in a (string) attribute.

    Raises:
        CondorError: If no collector took it.
    """
    classad = _modules()[1]
    ad = classad.ClassAd(
        {
            "MyType": "Query",
            "TargetType": mytype,
            "Requirements": classad.ExprTree(f"TARGET.{attribute} == {classad.quote(value)}"),
        }
    )
    if attribute == "Name":
        ad["Name"] = value  # what the collector looks an ad up by
    try:
        _collector().advertise([ad], "INVALIDATE_ADS_GENERIC", True)  # noqa: FBT003  (as above)
    except _failures() as error:
        raise CondorError(str(error)) from error


def set_ready_state(state: str) -> None:
    """Tell condor_master that this daemon is in a state (shows in its MasterLog).

    Raises:
        CondorError: If there is no master to tell.
    """
    try:
        _htcondor().set_ready_state(state)
    except _failures() as error:
        raise CondorError(str(error)) from error


def send_alive(pid: int, timeout: int) -> None:
    """Tell condor_master that `pid` lives, and to end it after `timeout` silent seconds.

    Raises:
        CondorError: If there is no master to tell.
    """
    try:
        _htcondor().send_alive(pid=pid, timeout=timeout)
    except _failures() as error:
        raise CondorError(str(error)) from error
