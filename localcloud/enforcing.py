"""The controls of IAM: who is let do what, and what was decided."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Decided", "Enforcing"]


@dataclass(frozen=True, slots=True)
class Decided:
    """A question to IAM, and its answer. One call may ask more than one.

    Attributes:
        who: The ARN of the user, or of the role's session.
        action: Such as `iam:PassRole`.
        resource: An ARN, or `*`.
        context: The condition keys that came with it, those of the caller left out.
        outcome: `allowed`, `explicit deny` or `implicit deny`.
        by: The kind of policy that decided: `identity-based policy`, `permissions boundary` or
            `session policy`.
        listed: Whether the local cloud's tables know the action; if not, it was asked for `*`.
    """

    who: str
    action: str
    resource: str
    context: Mapping[str, Any]
    outcome: str
    by: str
    listed: bool

    @property
    def allowed(self) -> bool:
        """Whether it was let be done."""
        return self.outcome == "allowed"


class Enforcing(ABC):
    """Controls IAM in the local cloud at an endpoint."""

    @property
    @abstractmethod
    def credentials(self) -> tuple[str, str]:
        """An access key id and its secret that may do all."""

    @abstractmethod
    def _control(self, method: str, what: str, given: object = None, timeout: float = 60) -> Any:  # noqa: ANN401  (JSON)
        """Ask the local cloud for something."""

    def enforce(self, policy: Mapping[str, Any], *, user: str = "annexd") -> tuple[str, str]:
        """Let policies count from now on, until `reset`, and make a user who has this one alone.

        The cloud's own credentials may do all, as root may; all others are held to the policies of
        their user or role, and unknown ones are refused. A user who is there already keeps the key
        and gets the policy in place of those it has.

        Args:
            policy: A managed policy's document.
            user: The user's name.

        Returns:
            The access key id and the secret of the user.

        Raises:
            ValueError: If IAM would not take the policy.
        """
        key, secret = self._control(
            "POST", "enforce", {"policy": policy, "user": user, "own": self._own()}
        )
        return key, secret

    def role_credentials(self, role_arn: str) -> tuple[str, str, str]:
        """Return temporary credentials of a role; policies count from now on, until `reset`.

        Returns:
            The access key id, the secret and the session token.

        Raises:
            ValueError: If there is no such role.
        """
        key, secret, token = self._control(
            "POST", "role-credentials", {"role_arn": role_arn, "own": self._own()}
        )
        return key, secret, token

    def _own(self) -> dict[str, str]:
        return dict([self.credentials])

    def asked(self, action: str = "") -> list[Decided]:
        """Return what was decided so far, of one action if named, oldest first.

        `Controls.forget` forgets it.
        """
        decided = [Decided(**entry) for entry in self._control("GET", "decided")]
        return [one for one in decided if action in ("", one.action)]

    def denied(self, action: str = "") -> list[Decided]:
        """Return what was refused so far, of one action if named, oldest first."""
        return [one for one in self.asked(action) if not one.allowed]
