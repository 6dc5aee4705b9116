"""Are these credentials right? Signatures are recomputed with botocore's own signer.

Source: AWS General Reference, "Signature Version 4"; the error codes are those that EC2,
EventBridge, Lambda, IAM and S3 answer with.
"""

import hmac
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from localcloud import wire

__all__ = ["SecretOf", "refusal"]

SecretOf = Callable[[str], tuple[str, str | None] | None]
"""Access key id to its secret key and its session token; None is any token, or no such key."""

# protocol -> (unknown key, wrong signature, status)
_CODES = {
    "ec2": ("AuthFailure", "AuthFailure", 401),
    "query": ("InvalidClientTokenId", "SignatureDoesNotMatch", 403),
    "json": ("UnrecognizedClientException", "InvalidSignatureException", 400),
    "rest-json": ("UnrecognizedClientException", "InvalidSignatureException", 403),
    "rest-xml": ("InvalidAccessKeyId", "SignatureDoesNotMatch", 403),
}
_MESSAGES = {
    "AuthFailure": "AWS was not able to validate the provided access credentials",
    "InvalidClientTokenId": "The security token included in the request is invalid.",
    "UnrecognizedClientException": "The security token included in the request is invalid.",
    "InvalidAccessKeyId": "The AWS Access Key Id you provided does not exist in our records.",
}
_NO_MATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method."
)


def refusal(
    call: wire.Call,
    environ: wire.Environ,
    body: bytes,
    keys: Mapping[str, str],
    secret_of: SecretOf | None = None,
) -> wire.Answer | None:
    """Return AWS's refusal of wrong credentials, or None if they are right.

    Args:
        call: What is asked for.
        environ: Its WSGI environment, for the signed headers.
        body: Its body.
        keys: Access key id to secret key; empty if any are taken.
        secret_of: Gives, by its id, the secret of any other key that is taken, and the session
            token that goes with it, empty if none does; None if there is no other.
    """
    if not keys and secret_of is None:
        return None
    unknown, wrong, status = _CODES[call.protocol]
    secret = keys.get(call.access_key)
    if secret is None:
        known = secret_of(call.access_key) if secret_of else None
        if known is None:
            return wire.error(call.protocol, unknown, _MESSAGES[unknown], status)
        secret, token = known
        if token is not None and not _same(environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""), token):
            return _wrong_token(call.protocol)
    if not _signed_with(call, environ, body, secret):
        return wire.error(call.protocol, wrong, _MESSAGES.get(wrong, _NO_MATCH), status)
    return None


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _wrong_token(protocol: str) -> wire.Answer:
    """Return AWS's refusal of a session token that is not the key's."""
    unknown, _, status = _CODES[protocol]
    if protocol == "rest-xml":
        said = "The provided token is malformed or otherwise invalid."
        return wire.error(protocol, "InvalidToken", said, 400)
    return wire.error(protocol, unknown, _MESSAGES[unknown], status)


def _signed_with(call: wire.Call, environ: wire.Environ, body: bytes, secret: str) -> bool:
    fields = dict(
        part.strip().partition("=")[::2]
        for part in environ["HTTP_AUTHORIZATION"].partition(" ")[2].split(",")
    )
    headers = {}
    for name in fields.get("SignedHeaders", "").split(";"):
        key = name.upper().replace("-", "_")
        value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}")
        if value is not None:
            headers[name] = value
    target = urlsplit(str(environ.get("RAW_URI", "/")))
    url = f"http://{environ['HTTP_HOST']}{target.path}"
    request = AWSRequest(
        method=environ["REQUEST_METHOD"],
        url=f"{url}?{target.query}" if target.query else url,
        headers=headers,
        data=body,
    )
    request.context["timestamp"] = environ.get("HTTP_X_AMZ_DATE", "")
    kind = S3SigV4Auth if call.service == "s3" else SigV4Auth
    signer = kind(Credentials(call.access_key, secret), call.service, call.region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    expected: str = signer.signature(text, request)
    return hmac.compare_digest(expected, fields.get("Signature", ""))
