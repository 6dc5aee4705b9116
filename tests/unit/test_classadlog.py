"""The text of HTCondor's ClassAd transaction log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htcondor_annex.journal.classadlog import (
    DamageError,
    DeleteAttribute,
    DestroyClassAd,
    HistoricalSequenceNumber,
    NewClassAd,
    Operation,
    SetAttribute,
    decode,
    encode,
    encode_transaction,
    load,
)

WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(min_size=1, max_size=20).filter(
    lambda text: bool(text.strip()) and text.isprintable()
)
OPERATIONS = st.one_of(
    st.builds(NewClassAd, WORDS, WORDS, WORDS),
    st.builds(DestroyClassAd, WORDS),
    st.builds(SetAttribute, WORDS, NAMES, VALUES),
    st.builds(DeleteAttribute, WORDS, NAMES),
)
FIRST = HistoricalSequenceNumber(1, 1_700_000_000)
ONE: list[Operation] = [NewClassAd("a", "Annex"), SetAttribute("a", "State", '"active"')]
TWO: list[Operation] = [SetAttribute("a", "State", '"ending"'), DestroyClassAd("a")]
LOG = (encode(FIRST) + encode_transaction(ONE) + encode_transaction(TWO)).encode()


def test_the_text_is_htcondors() -> None:
    """The lines are those that HTCondor's own code writes, blanks included."""
    assert (
        b"107 1 CreationTimestamp 1700000000\n"
        b"105 \n101 a Annex (empty)\n"
        b'103 a State "active"\n'
        b'106 \n105 \n103 a State "ending"\n102 a\n106 \n'
    ) == LOG


def test_what_was_written_is_read() -> None:
    """A whole log gives its operations back, in order."""
    assert ([FIRST, *ONE, *TWO], len(LOG), 2) == load(LOG)


@given(st.lists(st.lists(OPERATIONS, max_size=5), max_size=5))
def test_any_operations_survive(transactions: list[list[Operation]]) -> None:
    """Whatever operations are written, the same are read."""
    text = encode(FIRST) + "".join(map(encode_transaction, transactions))
    wanted = [FIRST, *(one for transaction in transactions for one in transaction)]
    assert wanted == load(text.encode()).operations


@pytest.mark.parametrize("length", range(len(LOG)))
def test_a_log_cut_anywhere_keeps_what_was_committed(length: int) -> None:
    """Cut at any byte, a log loads with every transaction that was whole, and no other."""
    loaded = load(LOG[:length])
    ends = [len(encode(FIRST))]
    ends += [ends[0] + len(encode_transaction(ONE)), len(LOG)]
    counts = [1, 3, 5]
    whole = [count for end, count in zip(ends, counts, strict=True) if end <= length]
    assert len(loaded.operations) == (whole[-1] if whole else 0)
    assert load(LOG[: loaded.good]).operations == loaded.operations


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"hello\n", 1),
        (b"999 a b\n", 1),
        (b"105 \n103 a\n106 \n", 2),
        (b"105 \n101 a b c\n102\n106 \n105 \n106 \n", 3),
        (b"101 a b c d\n", 1),
        (b"103 a St\0te 1\n", 1),
        (b"105 \n102 a\n105 \n106 \n", 3),
        (b"106 \n", 1),
        (b"105 \n103 a State garbage\n1x6 \n", 3),
        (b"105 \n103 a b\n102 a\n106 \n", 2),
    ],
)
def test_damage_is_never_skipped(data: bytes, line: int) -> None:
    """What no crash can leave is damage, with its line, even in the last transaction."""
    with pytest.raises(DamageError) as caught:
        load(data)
    assert caught.value.line == line


def test_zeros_of_a_power_cut_are_no_damage() -> None:
    """Zeros in a transaction that was never closed are what a power cut leaves."""
    assert [FIRST, *ONE, *TWO] == load(LOG + b"105 \n103 a St\0\0\0\0\n").operations


def test_zeros_in_a_closed_transaction_are_damage() -> None:
    """The same zeros before an end are damage: that transaction had been committed."""
    with pytest.raises(DamageError):
        load(LOG + b"105 \n103 a St\0\0\0\0\n106 \n")


@pytest.mark.parametrize(
    "operation",
    [
        NewClassAd("a b", "Annex"),
        DestroyClassAd(""),
        SetAttribute("a", "1x", "1"),
        SetAttribute("a", "X", "1\n102 b"),
        SetAttribute("a", "X", " "),
        SetAttribute("a\n", "X", "1"),
    ],
)
def test_what_would_break_the_log_is_not_written(operation: Operation) -> None:
    """A key, a name or a value that would read as something else is refused."""
    with pytest.raises(ValueError, match=r"cannot|is empty"):
        encode(operation)


def test_htcondors_own_short_forms_are_read() -> None:
    """An ad without types, and marks without a blank, are understood."""
    assert [NewClassAd("0.0", "Job"), NewClassAd("x", "(empty)")] == load(
        b"105\n101 0.0 Job\n101 x\n106\n"
    ).operations


@pytest.mark.parametrize("line", ['103 key "Name 1', "103 key 1st 1", "102 k\u00e9y"])
def test_what_could_not_be_written_is_no_operation(line: str) -> None:
    """A name or a key that no writer writes is damage, told with its line."""
    with pytest.raises(ValueError, match="cannot"):
        decode(line)
