"""Client tokens: the same call made again is the same call.

Source: EC2 Developer Guide, "Ensuring idempotency in Amazon EC2 API requests": the same token with
the same parameters gives the same answer and does nothing more; with other parameters it gives
IdempotentParameterMismatch. Tokens are of one action, account and Region. AWS keeps them for a day
at least after the end of what they made; here they are kept until the cloud is emptied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.types import Base64EncodedString
from moto.ec2.exceptions import EC2ClientError

from localcloud.world import Region

__all__ = ["Remembered", "plain", "recall", "remember"]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A call that was made with a token; `answer` is what the action makes of it."""

    parameters: Mapping[str, Any]
    answer: Any


def recall(
    region: Region, action: str, token: str | None, parameters: Mapping[str, Any]
) -> Any | None:  # noqa: ANN401  (each action's own)
    """Return what `remember` was given for this call, or None if it is a new one.

    Raises:
        EC2ClientError: If the token was used with other parameters.
    """
    known = region.tokens.get((action, token)) if token else None
    if known is None:
        return None
    if known.parameters != parameters:
        raise EC2ClientError(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in "
            "previous request(s).",
        )
    return known.answer


def remember(
    region: Region,
    action: str,
    token: str | None,
    parameters: Mapping[str, Any],
    answer: Any,  # noqa: ANN401  (each action's own)
) -> None:
    """Keep what was answered to a call with a token, if it had one."""
    if token:
        region.tokens[action, token] = Remembered(parameters, answer)


def plain(value: Any) -> Any:  # noqa: ANN401  (what moto parsed)
    """Return moto's parameters as plain values, which compare and copy."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Base64EncodedString) else value
