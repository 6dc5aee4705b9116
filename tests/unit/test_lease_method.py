"""The lease's method is kept with the annex, and told of it."""

from dataclasses import replace

import pytest

from htcondor_annex.annex import LeaseMethod
from htcondor_annex.daemon.ad import annex_ad
from htcondor_annex.forms import annex_to_wire
from htcondor_annex.journal.attributes import from_attributes, to_attributes
from tests.journals import an_annex


@pytest.mark.parametrize("method", LeaseMethod)
def test_it_is_kept_and_told(method: LeaseMethod) -> None:
    """In the journal, over the socket and in the annex's ad."""
    plain = an_annex(1)
    annex = replace(plain, lease=replace(plain.lease, method=method))
    attributes = to_attributes(annex)
    assert method == from_attributes(attributes).lease.method
    told = (annex_to_wire(annex)["lease_method"], annex_ad(annex, None, "here")["LeaseMethod"])
    assert (str(method), str(method)) == told


def test_an_old_journal_means_rules() -> None:
    """From before there was a choice."""
    attributes = to_attributes(an_annex(1))
    del attributes["LeaseMethod"]
    assert LeaseMethod.RULE is from_attributes(attributes).lease.method


def test_another_word_is_damage() -> None:
    """What ends an annex is never guessed."""
    with pytest.raises(ValueError, match="NEITHER"):
        from_attributes({**to_attributes(an_annex(1)), "LeaseMethod": "NEITHER"})
