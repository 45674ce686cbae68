"""What obstore raises, as one line for users, without secrets and without its debug output."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from kappamask_udf.errors import StorageError

# Codes of S3's own errors, in the XML that obstore quotes, with what to do.
_HINTS = {
    "NoSuchBucket": "there is no bucket {bucket}; make it, or correct the address",
    "InvalidAccessKeyId": "the server does not know the access key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key is wrong; check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have expired; get new ones",
    "InvalidToken": "the session token is wrong; check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION",
    "QuotaExceeded": "the bucket is full; make room",
    "InsufficientStorage": "the server is full; make room",
    "AccessDenied": "the credentials may not do this in bucket {bucket}",
}
_CODE = re.compile(r"<Code>(\w+)</Code>")
# Answered with HTTP 400, and pass all the same.
_PASSING = {"RequestTimeout", "IncompleteBody", "OperationAborted"}
_STATUS = re.compile(r"status code: (\d{3})")
_FORBIDDEN = (
    "the server refuses the credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what "
    "they may do in bucket {bucket}"
)
_METADATA_ADDRESS = "169.254.169.254"
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN", "AWS_ACCESS_KEY_ID")


@contextmanager
def translated(what: str, bucket: str) -> Iterator[None]:
    """Errors of obstore and of the connection as `StorageError`."""
    from obstore.exceptions import BaseError

    try:
        yield
    except StorageError:
        raise
    except (BaseError, OSError, ValueError) as error:
        reason = _without_secrets(_reason(error).format(bucket=bucket))
        raise StorageError(f"{what}: {reason}") from error


def is_final(error: Exception) -> bool:
    """Whether it is of no use to try again: refused, not there, or a fault of the caller."""
    from obstore.exceptions import GenericError

    if isinstance(error, StorageError | FileNotFoundError):
        return True
    if isinstance(error, GenericError):
        text = str(error)
        code, status = _CODE.search(text), _STATUS.search(text)
        if code is not None and code[1] in _PASSING:
            return False
        return status is not None and status[1].startswith("4") and status[1] != "429"
    return True


def _reason(error: Exception) -> str:
    text = str(error)
    code = _CODE.search(text)
    if code is not None and code[1] in _HINTS:
        return _HINTS[code[1]]
    status = _STATUS.search(text)
    if _METADATA_ADDRESS in text:
        return "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if status is not None and status[1] in ("401", "403"):
        return _FORBIDDEN
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if status is not None:
        told = f", {code[1]}" if code is not None else ""
        return f"the server answers with HTTP {status[1]}{told}"
    if "HTTP error" in text:
        return "the server cannot be reached; check AWS_ENDPOINT_URL and the network"
    # Braces are not ours to fill in.
    first = " ".join(text.split("Debug source")[0].split())[:300]
    return first.replace("{", "{{").replace("}", "}}") or type(error).__name__


def _without_secrets(text: str) -> str:
    for name in _SECRETS:
        value = os.environ.get(name)
        if value:
            text = text.replace(value, "***")
    return text
