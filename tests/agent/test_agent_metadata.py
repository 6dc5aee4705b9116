"""Metadata over real HTTP: as it should be, and as it should not."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from instance_agent import metadata as module
from instance_agent.errors import (
    AgentError,
    Healing,
    MetadataError,
    MetadataRefusedError,
    NotOnEC2Error,
    UsageError,
)
from instance_agent.metadata import Metadata, endpoint_from, looks_like_ec2
from localcloud.imds import MetadataService, RoleCredentials

from .peers import flood, hang, peer, reply, trickle, trickle_headers

END = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = RoleCredentials("AKIA", "secret", "token", END)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter times, so that the tests of peers that never end do."""
    monkeypatch.setattr(module, "READ_SECONDS", 0.5)
    monkeypatch.setattr(module, "WHOLE_SECONDS", 1.0)


def connected(endpoint: str) -> Metadata:
    """Metadata that has its token."""
    made = Metadata(endpoint, expected=True, booting=False)
    made.connect()
    return made


def test_it_reads_who_it_is() -> None:
    """Role, region, instance, tags and keys, each with a token."""
    with MetadataService("r", KEYS, "i-0abc1234", "eu-west-1", tags={"a:b": "c"}) as service:
        metadata = connected(service.endpoint)
        read = (
            metadata.role(),
            metadata.region(),
            metadata.instance_id(),
            metadata.tag("a:b"),
            metadata.tag("x"),
        )
        keys = metadata.credentials("r")
    assert read == ("r", "eu-west-1", "i-0abc1234", "c", None)
    expected = ("AKIA", "secret", "token", "2031-01-02T03:04:05Z")
    assert (keys.access_key, keys.secret_key, keys.token, keys.expiration) == expected


def test_a_token_that_has_ended_is_renewed() -> None:
    """Once, and the answer is the same."""
    with MetadataService("r", KEYS) as service:
        metadata = connected(service.endpoint)
        service.forget_tokens()
        assert metadata.role() == "r"
        assert service.requests.count("PUT /latest/api/token") == 2


def test_keys_are_not_shown() -> None:
    """A record that ends in a log holds no secret."""
    with MetadataService("r", KEYS) as service:
        shown = repr(connected(service.endpoint).credentials("r"))
    assert "AKIA" in shown
    assert "secret'" not in shown
    assert "token'" not in shown


def test_proxies_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of metadata never leaves the machine."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with MetadataService("r", KEYS) as service:
        assert connected(service.endpoint).role() == "r"


@pytest.mark.parametrize(
    "behaviour",
    [hang, trickle, trickle_headers, flood, reply("500 Oops"), reply("503 Busy"),
     reply("429 Slow"), reply("200 OK", b""), reply("200 OK", b"two words"),
     reply("200 OK", b"\xff\xfe"), reply("200 OK", b"x" * 70000),
     reply("200 OK", b"short", "Content-Length: 1000"),
     lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n"), lambda _: None],
    ids=["hang", "trickle", "trickling headers", "flood", "500", "503", "429", "empty", "no token",
         "no text", "oversized", "short", "no HTTP", "closed"],
)  # fmt: skip
def test_trouble_that_may_pass_is_one_error_that_heals(
    behaviour: Callable[[socket.socket], None],
) -> None:
    """However the service behaves, the agent is told in time."""
    with peer(behaviour) as endpoint, pytest.raises(MetadataError) as caught:
        connected(endpoint)
    assert caught.value.healing is Healing.ALWAYS


@pytest.mark.parametrize("status", ["400 Bad", "403 Forbidden", "404 None", "405 No", "401 No"])
def test_a_service_that_gives_no_token_refuses(status: str) -> None:
    """Version 1 is never tried instead."""
    with peer(reply(status)) as endpoint, pytest.raises(MetadataRefusedError, match="IMDSv2"):
        connected(endpoint)


def test_a_redirect_is_not_followed() -> None:
    """Wherever it leads."""
    with MetadataService("r", KEYS) as service:
        away = reply("307 Away", b"", f"Location: {service.endpoint}/latest/api/token")
        with peer(away) as endpoint, pytest.raises(MetadataRefusedError, match="307"):
            connected(endpoint)
        assert service.requests == []


@pytest.mark.parametrize("behaviour", [hang, reply("500 Oops"), reply("404 None"), flood])
def test_where_no_metadata_is_expected_a_wrong_answer_is_none(
    behaviour: Callable[[socket.socket], None],
) -> None:
    """Another cloud's service, or a captive portal: this is not EC2."""
    with peer(behaviour) as endpoint, pytest.raises(NotOnEC2Error):
        Metadata(endpoint, expected=False, booting=False).connect()


def test_no_service_on_ec2s_hardware_is_waited_for() -> None:
    """There the network is not up yet."""
    with pytest.raises(MetadataError):
        Metadata("http://127.0.0.1:1", expected=False, booting=True).connect()


def test_a_service_that_goes_away_is_trouble_that_may_pass() -> None:
    """Once it has answered, this is EC2."""
    with MetadataService("r", KEYS) as service:
        metadata = connected(service.endpoint)
    with pytest.raises(MetadataError):
        metadata.role()


def test_no_role_and_no_keys_heal_while_a_role_settles() -> None:
    """Both are normal while a profile is being attached."""
    with MetadataService(None, None) as service, pytest.raises(AgentError) as none:
        connected(service.endpoint).role()
    with MetadataService("r", None) as service, pytest.raises(AgentError) as late:
        connected(service.endpoint).credentials("r")
    settling = (Healing.SETTLING, 2)
    assert (none.value.healing, none.value.exit_status) == settling
    assert (late.value.healing, late.value.exit_status) == settling


@pytest.mark.parametrize(
    "body",
    ["", "x", "[]", "{}", '{"Code": "Success"}', "[" * 50000, '{"Code": ["Success"]}',
     '{"Code":"Success","AccessKeyId":1,"SecretAccessKey":"s","Token":"t","Expiration":"e"}',
     '{"Code":"Success","AccessKeyId":"a","SecretAccessKey":"s","Token":"t","Expiration":"soon"}'],
)  # fmt: skip
def test_keys_that_are_none_are_one_error(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Nothing that metadata says is trusted to have the right form."""
    metadata = Metadata("http://127.0.0.1:1", expected=True, booting=False)
    monkeypatch.setattr(metadata, "_ask", lambda *_: (requests.codes.ok, body))
    with pytest.raises(MetadataError):
        metadata.credentials("r")


@pytest.mark.parametrize("body", ["", "../x", "a b", "x" * 65, "a/b", "\u00e9", "<html>"])
def test_names_have_the_form_that_aws_documents(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A role, a region or an instance of another form is refused."""
    metadata = Metadata("http://127.0.0.1:1", expected=True, booting=False)
    monkeypatch.setattr(metadata, "_ask", lambda *_: (requests.codes.ok, body))
    for read in (metadata.role, metadata.region, metadata.instance_id):
        with pytest.raises(MetadataError):
            read()


def test_the_endpoint_is_botocores() -> None:
    """A URL, or else the mode, or else IPv4."""
    url, mode = "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
    given = [{}, {mode: "IPv6"}, {mode: "ipv4"}, {url: "http://[::1]:80/", mode: "IPv6"}]
    assert [endpoint_from(environ) for environ in given] == [
        ("http://169.254.169.254", False),
        ("http://[fd00:ec2::254]", False),
        ("http://169.254.169.254", False),
        ("http://[::1]:80", True),
    ]
    with pytest.raises(UsageError):
        endpoint_from({mode: "IPv5"})


def test_ec2s_hardware_is_known_by_its_vendor_or_uuid(tmp_path: Path) -> None:
    """Nitro and bare metal by the one, Xen by the other."""
    nitro, xen, other = tmp_path / "nitro", tmp_path / "xen", tmp_path / "other"
    for root, name, text in (
        (nitro, "class/dmi/id/sys_vendor", "Amazon EC2\n"),
        (xen, "hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n"),
        (other, "class/dmi/id/sys_vendor", "QEMU\n"),
    ):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    found = [looks_like_ec2(root) for root in (nitro, xen, other, tmp_path / "absent")]
    assert found == [True, True, False, False]


def ask(service: MetadataService, method: str, path: str, **headers: str) -> tuple[int, str]:
    """One request to the local cloud's own service, with a session that uses no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = session.request(
            method, f"{service.endpoint}/latest/{path}", headers=names, timeout=5
        )
        return answer.status_code, answer.text


def test_the_local_clouds_service_keeps_imdsv2s_rules() -> None:
    """No token, a wrong one, no time to live, a forwarded request: each is refused."""
    ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
    with MetadataService("r", KEYS, user_data=b"hello") as service:
        token = ask(service, "PUT", "api/token", **ttl)[1]
        good = {"X_aws_ec2_metadata_token": token}
        answers = [
            ask(service, "GET", "meta-data/instance-id")[0],
            ask(service, "GET", "meta-data/instance-id", X_aws_ec2_metadata_token="no")[0],
            ask(service, "PUT", "api/token")[0],
            ask(service, "PUT", "api/token", X_aws_ec2_metadata_token_ttl_seconds="21601")[0],
            ask(service, "PUT", "api/token", X_Forwarded_For="192.0.2.1", **ttl)[0],
            ask(service, "GET", "meta-data/public-ipv4", **good)[0],
            ask(service, "GET", "meta-data/tags/instance", **good)[0],
            ask(service, "GET", "user-data", **good),
        ]
    assert answers == [401, 401, 400, 400, 403, 404, 404, (200, "hello")]


def test_the_local_clouds_service_lists_tags_and_says_where_it_is() -> None:
    """What an instance with visible tags and a public address sees."""
    tags = {"b": "2", "a": "1"}
    with MetadataService("r", KEYS, tags=tags, public_ipv4="192.0.2.7") as service:
        token = service.new_token(60)
        found = [
            ask(service, "GET", path, X_aws_ec2_metadata_token=token)[1]
            for path in ("meta-data/tags/instance", "meta-data/public-ipv4", "meta-data/iam/info",
                         "dynamic/instance-identity/document")
        ]  # fmt: skip
    assert found[:2] == ["a\nb", "192.0.2.7"]
    assert "instance-profile/r" in found[2]
    assert '"region": "us-east-1"' in found[3]
