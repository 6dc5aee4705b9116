"""`python -m htcondor_annex.templates`, and the names that it takes."""

import json
import re
from pathlib import Path

import pytest

from htcondor_annex.templates import ObjectName, check_object, lease_template, role_template
from htcondor_annex.templates.__main__ import main
from htcondor_annex.templates.files import committed
from htcondor_annex.templates.objects import BUCKET_PATTERN, KEY_PATTERN, ObjectNameError

Said = pytest.CaptureFixture[str]


def test_lease_prints_the_lease_template(capsys: Said) -> None:
    """On one line, unless asked otherwise."""
    assert main(["lease"]) == 0
    out = capsys.readouterr().out
    assert lease_template() == json.loads(out)
    assert out.count("\n") == 1


def test_role_prints_the_template_of_that_object(capsys: Said) -> None:
    """Bucket and key stand in the template itself, as in the seed."""
    assert main(["role", "my-bucket", "a/b.tar.gz"]) == 0
    assert role_template(ObjectName("my-bucket", "a/b.tar.gz")) == json.loads(
        capsys.readouterr().out
    )


@pytest.mark.parametrize("flag", ["-pretty-print", "-pretty"])
def test_pretty_print_indents(capsys: Said, flag: str) -> None:
    """The flag may be shortened, as HTCondor's may."""
    assert main(["role", "my-bucket", "key", flag]) == 0
    assert capsys.readouterr().out.startswith('{\n  "AWSTemplateFormatVersion"')


def test_wrong_names_are_all_told_and_nothing_is_printed(capsys: Said) -> None:
    """One line a problem, on standard error, and status 1."""
    assert main(["role", "My_Bucket", "a/*${aws:username}"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert [word in said.err for word in ("'My_Bucket'", "wildcards", "variable")] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("arguments", [[], ["role"], ["role", "b"], ["lease", "x"], ["fly"]])
def test_wrong_usage_ends_with_1(capsys: Said, arguments: list[str]) -> None:
    """And says how to get help."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    assert "-help" in capsys.readouterr().err


def test_write_makes_the_committed_files(tmp_path: Path, capsys: Said) -> None:
    """All of them, each named when it changed, and the next time none."""
    assert main(["write", str(tmp_path)]) == 0
    assert len(committed()) == capsys.readouterr().err.count("written: ")
    assert committed() == {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert main(["write", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


def test_write_says_what_it_cannot_write(tmp_path: Path, capsys: Said) -> None:
    """A directory that is not there gives a message and status 1."""
    assert main(["write", str(tmp_path / "none")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_check_fails_on_a_stale_file(tmp_path: Path, capsys: Said) -> None:
    """And names it."""
    main(["write", str(tmp_path)])
    assert main(["check", str(tmp_path)]) == 0
    (tmp_path / "config.json").write_text("{}")
    capsys.readouterr()
    assert main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "not as generated: config.json\n"


GOOD_BUCKETS = ["abc", "my-bucket", "my.bucket.1", "1" * 63]
BAD_BUCKETS = {
    "ab": "3 to 63",
    "a" * 64: "3 to 63",
    "My-bucket": "3 to 63",
    "my_bucket": "3 to 63",
    "-bucket": "3 to 63",
    "bucket-": "3 to 63",
    "bucket\n": "3 to 63",
    "*": "3 to 63",
    "my..bucket": "dots",
    "192.168.5.4": "IP address",
    "xn--bucket": "begin",
    "sthree-bucket": "begin",
    "bucket-s3alias": "end",
    "bucket--x-s3": "end",
}
GOOD_KEYS = ["k", "pool/config.tar.gz", "a b", "a$b", "~/x", "ü", "k" * 1024]
BAD_KEYS = {
    "": "empty",
    "k" * 1025: "longer",
    "ü" * 513: "longer",
    "config-*.tar.gz": "wildcards",
    "config-?.tar.gz": "wildcards",
    "${aws:username}": "variable",
    "a\nb": "unprintable",
    "a\x00b": "unprintable",
    "a\u202eb": "unprintable",
    "\U0001f600": "U+00FF",
    "\ud800": "U+00FF",
    "/etc": "between slashes",
    "a//b": "between slashes",
    "a/../b": "between slashes",
    "a/": "between slashes",
}


@pytest.mark.parametrize("bucket", GOOD_BUCKETS)
def test_a_good_bucket_is_taken(bucket: str) -> None:
    """By the checker, and by the template's own pattern."""
    assert ObjectName(bucket, "key") == check_object(bucket, "key")
    assert re.fullmatch(BUCKET_PATTERN, bucket)


@pytest.mark.parametrize(("bucket", "why"), BAD_BUCKETS.items())
def test_a_bad_bucket_is_refused(bucket: str, why: str) -> None:
    """With the reason."""
    with pytest.raises(ObjectNameError, match=why):
        check_object(bucket, "key")


@pytest.mark.parametrize("key", GOOD_KEYS)
def test_a_good_key_is_taken(key: str) -> None:
    """As it stands."""
    assert ObjectName("bucket", key) == check_object("bucket", key)


@pytest.mark.parametrize(("key", "why"), BAD_KEYS.items(), ids=map(ascii, BAD_KEYS))
def test_a_bad_key_is_refused(key: str, why: str) -> None:
    """With the reason."""
    with pytest.raises(ObjectNameError, match=re.escape(why)):
        check_object("bucket", key)


@pytest.mark.parametrize("key", ["a*", "a?", "${x}", "a\nb", "", "k" * 1025])
def test_the_templates_pattern_refuses_what_widens_a_grant(key: str) -> None:
    """CloudFormation itself refuses such a parameter."""
    assert not re.fullmatch(KEY_PATTERN, key)
