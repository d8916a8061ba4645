"""
Write objects into Swift and read them again, all the time, until standard input ends; then read every one of them.

Prints a JSON document: how many were ``written`` and ``read``, and what ``failed``.
"""

import json
import random
import select
import sys
import urllib.request

PROXY = "http://px1.lab.test:8080"


def _request(method, url, data=None, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
        return answer.read(), answer.headers


_, login = _request("GET", f"{PROXY}/auth/v1.0", **{"X-Auth-User": "lab:gate", "X-Auth-Key": "secret"})
token, account = {"X-Auth-Token": login["X-Auth-Token"]}, login["X-Storage-Url"]
written, read, failed = [], 0, []


def _write(number):
    try:
        _request("PUT", f"{account}/growing/{number}", b"%d" % number, **token)
        written.append(number)
    except OSError as error:
        failed.append(f"writing {number}: {error}")


def _read(number):
    global read
    try:
        assert _request("GET", f"{account}/growing/{number}", **token)[0] == b"%d" % number
        read += 1
    except (OSError, AssertionError) as error:
        failed.append(f"reading {number}: {error}")


_request("PUT", f"{account}/growing", **token)
number = 0
while not select.select([sys.stdin], [], [], 0.05)[0]:
    number += 1
    _write(number)
    _read(random.choice(written or [number]))
for each in written:
    _read(each)
print(json.dumps({"written": len(written), "read": read, "failed": failed}))
