"""What Schemathesis cannot make up: signatures, and who calls.

Every call of the public listener that needs it is signed as an API client's, over the bytes as they are sent; every call of
the operator's listener carries a token. So the calls get past authentication, and what lies behind is tried too.

A header that is well-formed is replaced by the one that is right; one that is malformed or missing is left so, since
that is the case under test. A call that brings credentials of its own keeps them.
"""

import hashlib
import hmac
import os
import re
import time

import requests
import schemathesis

CLIENT = os.environ["CLIENT"]
SECRET = os.environ["CLIENT_SECRET"].encode()
TOKEN = os.environ["ADMIN_TOKEN"]
PASS = os.environ["PASS"]

TIME = re.compile(r"[0-9]{1,14}")
SIGNATURE = re.compile(r"[0-9a-f]{64}")
# Calls that take a pass and no client.
BY_PASS = ("/challenge",)


class Caller(requests.auth.AuthBase):
    """Signs a request when it is otherwise ready."""

    def __call__(self, request):
        headers = request.headers
        if "x-api-key" in headers or "Authorization" in headers:
            return request
        path = request.path_url
        if path.startswith(("/admin/", "/init", "/metrics")):
            headers["Authorization"] = f"Bearer {TOKEN}"
            return request
        if path.split("?")[0] in BY_PASS:
            headers["Authorization"] = f"Bearer {PASS}"
            return request
        headers["x-api-key"] = CLIENT
        if well_formed(TIME, headers.get("x-request-time")):
            headers["x-request-time"] = str(time.time_ns() // 1_000_000)
        if well_formed(SIGNATURE, headers.get("x-signature")):
            headers["x-signature"] = signature(request)
        return request


def well_formed(pattern, value):
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value is not None and pattern.fullmatch(value) is not None


def signature(request):
    """Hex HMAC-SHA256 of METHOD:PATH:BODY:REQUEST_TIME:IDEMPOTENCY_KEY."""
    headers = request.headers
    key = headers.get("x-idempotency-key") or headers.get("Idempotency-Key") or ""
    parts = [
        request.method,
        request.path_url,
        request.body or b"",
        headers.get("x-request-time") or "",
        key.strip('"') if isinstance(key, str) else key.strip(b'"'),
    ]
    parts = [part if isinstance(part, bytes) else part.encode("latin-1") for part in parts]
    return hmac.new(SECRET, b":".join(parts), hashlib.sha256).hexdigest()


schemathesis.auth.set_from_requests(Caller())


@schemathesis.hook
def before_call(context, case, kwargs):
    """Nobody waits half a minute for news that do not come."""
    wait = (case.query or {}).get("wait")
    if str(wait).isdigit():
        case.query["wait"] = 0
