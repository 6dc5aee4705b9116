"""The command lines of -setup, -check-setup and -teardown."""

import pytest

from htcondor_annex.tool.options import parse


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-setup -check-setup", "give one of -check-setup, -setup"),
        ("-setup one-file", "FROM INSTANCE"),
        ("-setup a b c", "FROM INSTANCE"),
        ("-setup -access-key-file a b c", "name the key files once"),
        ("-setup -count 3", "-count goes with config.json alone"),
        ("-setup -yes", "-yes goes with -setup/-check-setup/-teardown alone"),
        ("-teardown -vpc vpc-1", "-vpc goes with"),
        ("-vpc vpc-1 config.json", "-vpc goes with -setup/-check-setup/-teardown alone"),
        ("config.json another.json", "unrecognized arguments: another.json"),
        ("off status", "unrecognized arguments: status"),
    ],
)
def test_a_wrong_command_line_ends_with_1(
    capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    """The message says what does not go together."""
    with pytest.raises(SystemExit) as ended:
        parse(line.split())
    assert (ended.value.code, said in capsys.readouterr().err) == (1, True)


@pytest.mark.parametrize("line", ["-setup -aws-region r a b", "-setup a b -aws-region r"])
def test_the_words_may_stand_anywhere(line: str) -> None:
    """The key files are the two words, before other flags or after them."""
    options = parse(line.split())
    assert (options.command, options.words, options.aws_region) == ("-setup", ["a", "b"], "r")
