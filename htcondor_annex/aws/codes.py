"""AWS's error codes in named sets: the one place that knows them.

Sources: EC2 API reference "Error codes", Lambda and EventBridge API references "Common errors",
and the SDKs' retry behaviour ("standard" mode).
"""

__all__ = [
    "ACCESS",
    "CAPACITY",
    "CREDENTIALS",
    "IDEMPOTENT_MISMATCH",
    "NOT_CANCELLABLE",
    "NOT_FOUND",
    "THROTTLED",
    "UNKNOWN_INSTANCE",
    "is_server_fault",
]

THROTTLED = frozenset(
    {
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "ConcurrentModificationException",
    }
)

CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

ACCESS = frozenset(
    {"AccessDenied", "AccessDeniedException", "OptInRequired", "UnauthorizedOperation"}
)

NOT_FOUND = frozenset(
    {
        "InvalidSpotFleetRequestId.NotFound",
        "ResourceNotFoundException",
        "fleetRequestIdDoesNotExist",
    }
)

NOT_CANCELLABLE = frozenset({"fleetRequestNotInCancellableState"})
"""A fleet that is cancelled already, or being cancelled (CancelSpotFleetRequestsError)."""

UNKNOWN_INSTANCE = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
"""One of several instances has gone, or is not seen yet: the call failed as a whole."""

CAPACITY = frozenset(
    {
        "InsufficientInstanceCapacity",
        "MaxSpotFleetRequestCountExceeded",
        "MaxSpotInstanceCountExceeded",
        "SpotMaxPriceTooLow",
        "VcpuLimitExceeded",
    }
)

IDEMPOTENT_MISMATCH = frozenset({"IdempotentParameterMismatch"})

_SERVER_FAULT = 500


def is_server_fault(http_status: int) -> bool:
    """Tell whether AWS failed on its own side, so that it may have acted all the same."""
    return http_status >= _SERVER_FAULT
