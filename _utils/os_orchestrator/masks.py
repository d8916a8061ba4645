"""Values that look secret are shown nowhere, although an environment should have none. Pure."""

from __future__ import annotations

import re
from typing import Any

_SECRET = re.compile(r"passw(or)?d|pass(phrase)?$|pwd|secret|token|credential|private|key$|key_?(material|data)", re.I)
_KEY_MATERIAL = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")
_IN_A_URL = re.compile(r"(://[^/:@\s]*:)[^@\s]+@")
_MASK = "********"


def masked(value: Any, secret: bool = False) -> Any:
    """Return a value with what its key or its own look says is secret masked."""
    if isinstance(value, dict):
        return {key: masked(item, secret or bool(_SECRET.search(key))) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item, secret) for item in value]
    if secret or _KEY_MATERIAL.search(str(value)):
        return _MASK
    return _IN_A_URL.sub(rf"\g<1>{_MASK}@", value) if isinstance(value, str) else value
