"""
Whether a Swift proxy stores objects and gives them back.

A proxy that runs proves nothing: one whose storage nodes have no rings yet hands out tokens and answers 503 to the
first object. So an object is stored, read again, compared and deleted, as a client would.

:configuration: In the minion's configuration or its pillar, never in arguments, which lie in the job cache:

    .. code-block:: yaml

        swift_proxy:
          auth_url: https://keystone.example.com:5000/v3    # ends in /v3 with Keystone
          user: gate
          key: secret
          project: gate                 # Keystone only, as are the three below
          user_domain: Default
          project_domain: Default
          region: RegionOne             # any unless given
          storage_url: http://127.0.0.1:8080/v1/AUTH_gate   # ask this proxy; as the authentication says unless given
          ca_file: /etc/ssl/certs/site.pem                  # the system's unless given

    Without Keystone (tempauth, swauth) ``auth_url`` is for example ``http://proxy1:8080/auth/v1.0`` and ``user``
    ``account:user``.
"""

import contextlib
import http.client
import json
import os
import ssl
import urllib.error
import urllib.request

from salt.exceptions import CommandExecutionError, SaltInvocationError

_NEEDED = ("auth_url", "user", "key")
_LARGEST = 4 << 20


class _NotServed(CommandExecutionError):
    """A step that failed; ``code`` is the reason code for it."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Tokens go to nobody but the one who was asked."""

    def redirect_request(self, *_):
        return None


def _reason(code, message):
    return {"code": code, "message": message}


def _identity_v3(settings):
    """Return the body of a Keystone login."""
    domain = {"name": settings.get("user_domain", "Default")}
    scope = {"name": settings.get("project", ""), "domain": {"name": settings.get("project_domain", "Default")}}
    user = {"name": settings["user"], "password": settings["key"], "domain": domain}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": scope}}}


def _storage_url(catalog, region):
    """Return the public address of the object store in a Keystone catalog, or None."""
    endpoints = [each for service in catalog if service.get("type") == "object-store" for each in service["endpoints"]]
    fitting = [
        each["url"] for each in endpoints if each["interface"] == "public" and region in (None, each.get("region"))
    ]
    return fitting[0] if fitting else None


def _expect(step, answer, good):
    """Return an answer if its status is a good one, or raise what the step was answered."""
    status, _, body = answer
    if status in good:
        return answer
    said = " ".join(body[:200].decode("utf-8", "replace").split())
    hint = ": do all storage nodes have the rings?" if status in (500, 503, 507) else f": {said}" if said else ""
    raise _NotServed("refused", f"{step} was answered {status}{hint}")


def _settings():
    settings = __salt__["config.get"]("swift_proxy", None) or {}
    missing = [name for name in _NEEDED if not settings.get(name)]
    if missing:
        sentence = (
            f"this node has no login for the gate: set {', '.join(missing)} under swift_proxy in its configuration"
        )
        raise _NotServed("not_configured", sentence)
    return {name: value if value is None else str(value) for name, value in settings.items()}


def _call(settings, timeout, method, url, headers, body=None):
    """Make one request and return (status, headers, body), whatever the status."""
    try:
        context = ssl.create_default_context(cafile=settings.get("ca_file"))
        handlers = (urllib.request.ProxyHandler({}), _NoRedirect(), urllib.request.HTTPSHandler(context=context))
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read(_LARGEST)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, answer.read(_LARGEST)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise _NotServed("connect", f"{method} {url} got no answer ({why})") from None


def _login(settings, timeout):
    """Return (storage URL, token)."""
    url = settings["auth_url"].rstrip("/")
    if not url.endswith("/v3"):
        headers = {"X-Auth-User": settings["user"], "X-Auth-Key": settings["key"]}
        _, found, _ = _authenticated(url, _call(settings, timeout, "GET", url, headers))
        return settings.get("storage_url") or found.get("X-Storage-Url"), found.get("X-Auth-Token")
    body = json.dumps(_identity_v3(settings)).encode()
    answer = _call(settings, timeout, "POST", f"{url}/auth/tokens", {"Content-Type": "application/json"}, body)
    _, found, text = _authenticated(url, answer)
    catalog = json.loads(text)["token"].get("catalog", [])
    return settings.get("storage_url") or _storage_url(catalog, settings.get("region")), found.get("X-Subject-Token")


def _authenticated(url, answer):
    if answer[0] in (401, 403):
        raise _NotServed("auth", f"{url} refuses the login ({answer[0]}): see user and key under swift_proxy")
    return _expect(f"the login at {url}", answer, (200, 201, 204))


def _store_and_return(settings, timeout, place, token, container):
    """Store an object of random bytes, read it again and delete it."""
    name, body, headers = f"gate-{os.urandom(8).hex()}", os.urandom(4096), {"X-Auth-Token": token}
    at = f"{place}/{container}"
    _expect(f"PUT {at}", _call(settings, timeout, "PUT", at, headers, b""), (201, 202, 204))
    try:
        _expect(f"PUT {at}/{name}", _call(settings, timeout, "PUT", f"{at}/{name}", headers, body), (201,))
        _, _, found = _expect(f"GET {at}/{name}", _call(settings, timeout, "GET", f"{at}/{name}", headers), (200,))
    finally:
        with contextlib.suppress(_NotServed):
            _call(settings, timeout, "DELETE", f"{at}/{name}", headers)
    if found != body:
        raise _NotServed("not_returned", f"GET {at}/{name} gave other bytes than were stored")


def _try(container, timeout):
    """Return the storage URL through which an object was stored and returned."""
    settings = _settings()
    try:
        place, token = _login(settings, timeout)
    except (KeyError, TypeError, ValueError):
        place = token = None
    if not place or not token:
        raise _NotServed(
            "auth", f"{settings['auth_url']} gave no token with an object store: see region under swift_proxy"
        )
    _store_and_return(settings, timeout, place.rstrip("/"), token, container)
    return place


def ready(container="os-orchestrator-gate", timeout=10):
    """
    Answer whether an object can be stored through the proxy, read again and deleted.

    container
        Where the object is put for the moment. It is made if need be, and stays. ``os-orchestrator-gate`` by default.

    timeout
        Seconds for each request. 10 by default.

    Returns ``{"ready", "storage_url", "identity", "reasons", "warnings"}``, reasons as ``{"code", "message"}``. Codes:
    ``not_configured``, ``auth``, ``connect``, ``refused`` (with the status), ``not_returned``. Not ready sets the
    return code to 1. Only a wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt proxy1 swift_proxy.ready
    """
    if not isinstance(container, str) or not container.replace("-", "").replace("_", "").isalnum():
        raise SaltInvocationError(f"container={container!r} is no name: letters, digits, '_' and '-' are possible")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 600:
        raise SaltInvocationError(f"timeout={timeout!r} is not possible: give seconds, up to 600")
    place, reasons = None, []
    try:
        place = _try(container, timeout)
    except _NotServed as error:
        reasons = [_reason(error.code, str(error))]
    __context__["retcode"] = 1 if reasons else 0
    return {"ready": not reasons, "storage_url": place, "identity": place or "", "reasons": reasons, "warnings": []}
