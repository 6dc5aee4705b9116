"""Getting one object: real botocore, over real HTTP, from a server that misbehaves."""

import base64
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

import pytest

from instance_agent import fetch as module
from instance_agent.aws import Account
from instance_agent.errors import AWSError, Healing, RefusedError
from instance_agent.fetch import MAX_OBJECT_BYTES, Fetched, fetch_first
from instance_agent.grants import Candidate
from instance_agent.metadata import Credentials
from instance_agent.policies import MAX_DOCUMENT_CHARACTERS, look, parse_document

from .conftest import ROLE, Cloud, may_get
from .peers import flood, hang, peer, reply, trickle, trickle_headers

KEYS = Credentials("AKIA", "secret", "token", "2131-01-02T03:04:05Z")
OBJECT = Candidate("annex-configuration", "a/50-annex", "p")


def account(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> Account:
    """A role whose AWS is at this endpoint."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    return Account("us-east-1", lambda: KEYS)


@contextmanager
def s3(
    monkeypatch: pytest.MonkeyPatch, behave: Callable[[socket], None], directory: Path
) -> Iterator[Callable[[], Fetched]]:
    """Fetches the object from a server that behaves so."""
    with peer(behave) as endpoint:
        client = account(monkeypatch, endpoint).s3()
        yield lambda: fetch_first(client, [OBJECT], directory, lambda: 1.0)


def crc32(body: bytes) -> str:
    """S3's header of a body's checksum."""
    return f"x-amz-checksum-crc32: {base64.b64encode(zlib.crc32(body).to_bytes(4)).decode()}"


def test_the_object_ends_in_a_private_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With its version, and its checksum verified."""
    answer = reply("200 OK", b"A = 1\n", "x-amz-version-id: v7", crc32(b"A = 1\n"))
    with s3(monkeypatch, answer, tmp_path) as fetch:
        found = fetch()
    assert (found.path.read_bytes(), found.size, found.version) == (b"A = 1\n", 6, "v7")
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "behaviour",
    [
        hang, trickle, trickle_headers,
        reply("503 Slow Down", b"<Error><Code>SlowDown</Code></Error>"),
        reply("500 Oops", b"<html>"),
        reply("200 OK", b"short", "Content-Length: 1000"),
        reply("200 OK", b"A = 2\n", crc32(b"A = 1\n")),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n"),
        lambda _: None,
    ],
    ids=["hang", "trickle", "trickling headers", "slow down", "500", "short", "wrong checksum",
         "no HTTP", "closed"],
)  # fmt: skip
def test_trouble_that_may_pass_heals_and_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, behaviour: Callable[[socket], None]
) -> None:
    """However S3 behaves, there is one error, in time."""
    with s3(monkeypatch, behaviour, tmp_path) as fetch, pytest.raises(AWSError) as caught:
        fetch()
    assert caught.value.healing is Healing.ALWAYS
    assert str(caught.value).startswith(OBJECT.url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "behaviour",
    [flood, reply("200 OK", bytes(MAX_OBJECT_BYTES + 1))],
    ids=["without an end", "one byte too long"],
)
def test_an_object_that_is_too_large_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, behaviour: Callable[[socket], None]
) -> None:
    """Whatever its length is said to be."""
    with peer(behaviour) as endpoint:
        client = account(monkeypatch, endpoint).s3()
        with pytest.raises(RefusedError, match="larger than"):
            fetch_first(client, [OBJECT], tmp_path, lambda: 30.0)
    assert list(tmp_path.iterdir()) == []


def test_a_busy_moment_does_not_choose_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Trouble that passes is waited for; only a refusal gives way to the next candidate."""
    asked: list[str] = []

    def fail(code: str, healing: Healing) -> Callable[..., Fetched]:
        def one(_: object, candidate: Candidate, *__: object) -> Fetched:
            asked.append(candidate.key)
            raise AWSError(code, code=code, healing=healing)

        return one

    client = account(monkeypatch, "http://127.0.0.1:1").s3()
    pair = [Candidate("bbb", "1", "p"), Candidate("bbb", "2", "p")]
    outcomes = []
    for code, healing in (
        ("SlowDown", Healing.ALWAYS),
        ("AccessDenied", Healing.SETTLING),
        ("NoSuchKey", Healing.NEVER),
    ):
        asked.clear()
        monkeypatch.setattr(module, "fetch", fail(code, healing))
        with pytest.raises(AWSError) as caught:
            fetch_first(client, pair, tmp_path, lambda: 1.0)
        outcomes.append((list(asked), caught.value.healing))
    assert outcomes == [
        (["1"], Healing.ALWAYS),
        (["1", "2"], Healing.SETTLING),
        (["1", "2"], Healing.NEVER),
    ]


@pytest.mark.parametrize(
    "behaviour", [hang, trickle, reply("500 Oops", b"<html>"), reply("200 OK", b"no XML")],
    ids=["hang", "trickle", "500", "no XML"],
)  # fmt: skip
def test_an_iam_that_misbehaves_heals(
    monkeypatch: pytest.MonkeyPatch, behaviour: Callable[[socket], None]
) -> None:
    """Reading the role's policies ends in time, too."""
    with peer(behaviour) as endpoint:
        client = account(monkeypatch, endpoint).iam()
        with pytest.raises(AWSError) as caught:
            look(client, "r", lambda: 1.0)
    assert caught.value.healing is Healing.ALWAYS


def test_all_policies_of_a_role_are_read_in_the_order_of_their_names(
    monkeypatch: pytest.MonkeyPatch, cloud: Cloud
) -> None:
    """Inline ones first, then attached ones, more of them than are asked for at a time."""
    for number in range(11, 22):
        cloud.inline(f"i{number}", may_get(f"{number}"))
        cloud.attach(f"a{number}", may_get(f"{number}"))
    view = look(account(monkeypatch, cloud.endpoint).iam(), ROLE, lambda: 20.0)
    arn = "arn:aws:iam::123456789012:policy/"
    assert [policy.name for policy in view.policies] == [
        *(f"inline policy i{number}" for number in range(11, 22)),
        *(f"attached policy {arn}a{number}" for number in range(11, 22)),
    ]
    assert view.lacked == ()


def test_partitions_are_those_of_the_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As botocore knows them."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    found = [
        Account(region, lambda: KEYS).partition
        for region in ("eu-west-1", "cn-north-1", "us-gov-west-1")
    ]
    assert found == ["aws", "aws-cn", "aws-us-gov"]


def test_keys_that_have_ended_by_a_wrong_clock_heal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a machine that boots may be set a moment later."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    past = Credentials("AKIA", "secret", "token", "2001-01-02T03:04:05Z")
    with pytest.raises(AWSError) as caught:
        look(Account("us-east-1", lambda: past).iam(), "r", lambda: 5.0)
    assert caught.value.healing is Healing.ALWAYS


def test_documents_are_url_encoded_json() -> None:
    """As IAM sends them."""
    assert parse_document("%7B%22Version%22%3A%20%221%22%7D") == {"Version": "1"}


LONG = "1" * (MAX_DOCUMENT_CHARACTERS + 1)


@pytest.mark.parametrize("text", [None, 7, "", "x", "%", "{'Version': 1}", "[" * 90000, LONG])
def test_what_is_no_document_is_said_so(text: object) -> None:
    """And is one line of what could not be read."""
    with pytest.raises(ValueError, match="document"):
        parse_document(text)
