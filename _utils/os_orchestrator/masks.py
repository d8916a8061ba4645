"""
Values that look secret are shown nowhere: neither those of an environment, which should have none, nor those in what
Puppet says of its resources. What Puppet or Salt mark as sensitive they redact themselves. Pure.
"""

from __future__ import annotations

import re
from typing import Any

_SECRET = re.compile(r"passw(or)?d|pass(phrase)?$|pwd|secret|token|credential|private|key$|key_?(material|data)", re.I)
_KEY_MATERIAL = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")
_IN_A_URL = re.compile(r"(://[^/:@\s]*:)[^@\s]+@")
# A name that says secret, then a value: `password=x`, `--api-token x`, `"secret": "x"`, `password changed 'x' to 'y'`.
_NAMED = r"(?<![\w-])[\w-]*(?:passw(?:or)?d|passphrase|secret|token|credential|api_?key)[\w-]*"
_BEFORE = rf"{_NAMED}[\"']?\s*(?:=>|[:=])\s*[\"']?|(?=--){_NAMED}\s+[\"']?"
_IN_TEXT = re.compile(rf"({_BEFORE})([^\s\"',;&}}\]]+)", re.I)
_CHANGED = re.compile(rf"({_NAMED}\W.*?\bchanged )'.*' to '.*'", re.I)
_QUOTED = re.compile(r"'[^']*'")
#: What every text has that one of these finds something in: most have it not, and this is found fast.
_HINT = re.compile(r"passw|passphrase|secret|token|credential|api_?key|://", re.I)
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


def text(words: str) -> str:
    """Return a text with the values masked that follow a name which says secret."""
    if not _HINT.search(words):
        return words
    words = _CHANGED.sub(rf"\g<1>'{_MASK}' to '{_MASK}'", _IN_TEXT.sub(rf"\g<1>{_MASK}", words))
    return _IN_A_URL.sub(rf"\g<1>{_MASK}@", words)


def told(value: Any) -> Any:
    """Return what Puppet said of a run, its texts masked; a resource that is called secret has no values at all."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [told(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {key: told(item) for key, item in value.items()}
    if isinstance(shown.get("message"), str) and _SECRET.search(str(value.get("resource"))):
        shown["message"] = _QUOTED.sub(f"'{_MASK}'", shown["message"])
    return shown
