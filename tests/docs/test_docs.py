"""The documentation agrees with the code, and with itself."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from docs.generate import pages
from htcondor_annex import __version__
from htcondor_annex.knobs import KNOBS
from tests.support import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("path", sorted(pages()), ids=lambda path: path.name)
def test_generated_pages_are_fresh(path: Path) -> None:
    """Knobs, flags and states in the reference are those of the code (else: make docs)."""
    assert path.read_text(encoding="utf-8") == pages()[path]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_can_be_found() -> None:
    """Every page of docs/ is linked from docs/README.md."""
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert [str(page) for page in (ROOT / "docs").glob("*/*.md") if page not in linked] == []


def test_the_shipped_configuration_names_real_knobs() -> None:
    """config/80annexd sets and mentions only knobs that exist."""
    text = (ROOT / "config" / "80annexd").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+) *=", text, re.MULTILINE))
    ours = {knob.name for knob in KNOBS}
    condors = {"DAEMON_LIST", "ANNEXD", "ANNEXD_ARGS", "ANNEXD_LOG"}
    assert named - ours - condors == set()


def test_the_version_has_one_value() -> None:
    """The installed package, the tool and the daemon have the same version."""
    assert version("htcondor-annex") == __version__
