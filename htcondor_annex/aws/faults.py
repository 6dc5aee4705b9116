"""What botocore raises, turned into `AwsError` with its meaning."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    SSLError,
)

from htcondor_annex.aws import codes
from htcondor_annex.errors import AwsError

__all__ = ["refused", "translate"]

# These fail before a request is sent: AWS cannot have acted.
_NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, SSLError)
_MAX_TEXT = 1000


def _advice(code: str) -> str:
    if code in codes.CREDENTIALS:
        return (
            "Check that the two key files belong together, are active, and that the clock is right."
        )
    if code in codes.ACCESS:
        return "The keys' policy does not allow this action; give it to them."
    if code in codes.THROTTLED:
        return "The account makes too many calls at once; try again in a minute."
    if code in codes.CAPACITY:
        return "Ask for less, for other instance types or zones, or have the quota raised."
    return ""


def refused(message: str, code: str, *, retryable: bool = False, advice: str = "") -> AwsError:
    """Return the error of what AWS answered, and so has not done, or shows to be wrong.

    Args:
        message: As `AnnexError` has it.
        code: AWS's own, or one of ours where AWS has none.
        retryable: Whether the same may go well later.
        advice: What the user can do.
    """
    return AwsError(
        message, aws_code=code, retryable=retryable, aws_may_have_acted=False, advice=advice
    )


def translate(error: ClientError | BotoCoreError, action: str, endpoint: str) -> AwsError:
    """Return the error with what it means.

    Args:
        error: As botocore raised it, its own retries spent.
        action: AWS's name of the call, such as `PutRule`.
        endpoint: The service's URL, for the reader.
    """
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "Unknown"))
        text = str(error.response.get("Error", {}).get("Message", "")) or "no message"
        metadata = error.response.get("ResponseMetadata", {})
        fault = codes.is_server_fault(int(metadata.get("HTTPStatusCode", 0)))
        # An earlier try, whose answer never came, may have acted before this one was refused.
        tried_before = int(metadata.get("RetryAttempts", 0)) > 0
        return AwsError(
            f"AWS refused {action}: {code}: {text[:_MAX_TEXT]}",
            aws_code=code,
            retryable=fault or code in codes.THROTTLED,
            aws_may_have_acted=tried_before or (fault and code not in codes.THROTTLED),
            advice=_advice(code),
        )
    return AwsError(
        f"{action} at {endpoint} got no answer: {str(error)[:_MAX_TEXT]}",
        aws_code=type(error).__name__,
        retryable=True,
        aws_may_have_acted=not isinstance(error, _NEVER_SENT),
        advice="Check the endpoint's URL and that this host can reach it.",
    )
