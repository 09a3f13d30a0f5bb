"""Why a request can be refused: one exception, one form of answer.

Bad input of every kind ends in a `RequestError`: a status, a name that programs can compare, and a sentence that says what was wrong and
what to do. The answer is a problem document (RFC 9457, application/problem+json), and the request's line in the access log names the error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PROBLEM_TYPE: Final = "application/problem+json"

SCOPE_KEY: Final = "sdz.error"
"""Where in the ASGI scope the access log finds the error that was answered."""


class RequestError(Exception):
    """A request that is refused with `status`. `code` is the error's name, as `runtime.errors` and the browser's SdzError have them."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(f"{code}: {detail}")


def problem(error: RequestError) -> Response:
    """The answer to a refused request."""
    body = json.dumps({"status": error.status, "title": error.code, "detail": error.detail}) + "\n"
    return Response(body, error.status, error.headers, PROBLEM_TYPE)


async def answer_refusal(request: Request, error: Exception) -> Response:
    """Starlette's handler for `RequestError`."""
    assert isinstance(error, RequestError)
    request.scope[SCOPE_KEY] = error
    return problem(error)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own HTTPException: routing, methods, files that are not there."""
    assert isinstance(error, HTTPException)
    name = HTTPStatus(error.status_code).phrase.title().replace(" ", "").replace("-", "") + "Error"
    return await answer_refusal(request, RequestError(error.status_code, name, error.detail, error.headers))
