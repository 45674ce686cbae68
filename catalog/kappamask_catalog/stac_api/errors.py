"""Errors over HTTP: one table from exceptions to status and code, one form of body.

Every error has `code`, `message`, `description` (the same text, as STAC names it) and `id`; the
same id is in one record of the log. What is no known error is a bug: 500 `Internal`, and nothing
about it in the answer.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kappamask_udf.errors import (
    ClaimLostError,
    InvalidDocumentError,
    InvalidQueryError,
    KappamaskError,
    NotInStoreError,
    StoreError,
)

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_NO_OBJECT = ("dict_type", "missing", "model_attributes_type", "model_type")
_log = logging.getLogger(__name__)


class ApiError(KappamaskError):
    """An answer that only makes sense over HTTP."""

    status = 400
    code = "BadRequest"

    def __init__(self, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.headers = headers or {}


class AuthenticationRequiredError(ApiError):
    """The caller must say who they are."""

    status, code = 401, "AuthenticationRequired"


class PermissionsInsufficientError(ApiError):
    """The caller may see the collection but not change it."""

    status, code = 403, "PermissionsInsufficient"


class LinkInvalidError(ApiError):
    """A link to a file is not signed, or not by this service."""

    status, code = 403, "LinkInvalid"


class LinkExpiredError(ApiError):
    """A signed link to a file has ended."""

    status, code = 403, "LinkExpired"


class ConflictError(ApiError):
    """There is a collection or item of that id already."""

    status, code = 409, "Conflict"


class RangeNotSatisfiableError(ApiError):
    """The bytes that were asked for are not in the file."""

    status, code = 416, "RangeNotSatisfiable"


class UnavailableError(ApiError):
    """Storage or store cannot be read at this moment."""

    status, code = 503, "Unavailable"


ERRORS: Sequence[tuple[type[KappamaskError], int, str]] = (
    (NotInStoreError, 404, "NotFound"),
    (InvalidQueryError, 400, "InvalidQuery"),
    (InvalidDocumentError, 400, "InvalidDocument"),
    (ClaimLostError, 409, "Conflict"),
    *(
        (error, error.status, error.code)
        for error in (
            AuthenticationRequiredError, PermissionsInsufficientError, LinkInvalidError,
            LinkExpiredError, ConflictError, RangeNotSatisfiableError, UnavailableError,
        )
    ),
    (StoreError, 503, "Unavailable"),
)  # fmt: skip
"""Exception, status and code; the first that fits counts. What is not in it is a bug: 500."""

STATUS_CODES = {
    400: "InvalidQuery",
    401: "AuthenticationRequired",
    403: "PermissionsInsufficient",
    404: "NotFound",
    405: "MethodNotAllowed",
}
"""Codes of answers that the router and the framework give."""


def error_response(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An error's answer, and its record in the log."""
    number = uuid4().hex
    # Names that callers invent can have ends of lines, which would forge records of the log.
    message = "".join(one if one.isprintable() else " " for one in message)
    level = logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    _log.log(level, "%s %s %s: %s", number, status, code, message)
    return _response(number, status, code, message, headers)


def _response(
    number: str, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    body = {"code": code, "message": message, "description": message, "id": number}
    return Response(
        orjson.dumps(body), status, headers=dict(headers or {}), media_type="application/json"
    )


def _hidden_error(error: Exception, status: int = 500, code: str = "Internal") -> Response:
    """What went wrong is for the log only: it may name paths, addresses and code."""
    number = uuid4().hex
    _log.error("%s %s %s: %r", number, status, code, error, exc_info=error)
    reason = "the server failed" if status == 500 else "the service cannot answer now; try later"
    return _response(number, status, code, f"{reason}; its operator can look up {number}")


def _kappamask_error(_: Request, error: Exception) -> Response:
    for kind, status, code in ERRORS:
        if isinstance(error, kind):
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return _hidden_error(error, status, code)
            return error_response(status, code, str(error), getattr(error, "headers", None))
    return _hidden_error(error)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _hidden_error(error, status)
    code = STATUS_CODES.get(status, "BadRequest")
    message = str(error.detail)
    if status == HTTPStatus.NOT_FOUND and message == HTTPStatus.NOT_FOUND.phrase:
        message = "there is nothing at this address; see the links of the landing page"
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        # The router names those of the first route only.
        headers = {"Allow": ", ".join(_allowed_methods(request))}
        message = f"{request.method} does not work here; these do: {headers['Allow']}"
    return error_response(status, code, message, headers)


def _allowed_methods(request: Request) -> list[str]:
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    routes = request.app.router.routes
    known = [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]
    return [*known, *(["HEAD"] if "GET" in known and "HEAD" not in known else []), "OPTIONS"]


def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    problems = [_problem(one) for one in error.errors()]
    return error_response(400, "InvalidQuery", "; ".join(dict.fromkeys(problems)))


def _problem(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"the body is not JSON: {error.get('ctx', {}).get('error', error['msg'])}"
    if error["type"] in _NO_OBJECT and len(error["loc"]) == 1:
        return "the body must be a JSON object, with Content-Type: application/json"
    where = ".".join(str(part) for part in error["loc"][1:]) or "the body"
    return f"{where}: {error['msg']}"


def install_errors(app: FastAPI) -> None:
    """Answer all errors of an application in this form."""
    app.add_exception_handler(KappamaskError, _kappamask_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)


class BugMiddleware:
    """Answers what nothing else caught.

    Inside the other middleware, unlike the framework's own way, so that these answers have CORS
    headers as well.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        is_started = False

        async def watch(message: Message) -> None:
            nonlocal is_started
            is_started = is_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            if scope["type"] != "http" or is_started:
                raise
            await _hidden_error(error)(scope, receive, send)
