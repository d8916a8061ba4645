"""
Ask Keystone for tokens at the endpoint, all the time, until standard input ends, but as often as the argument says.

Prints a JSON document: how many tokens each server has ``issued``, and what ``failed``.
"""

import collections
import json
import select
import sys
import urllib.request

USER = {"name": "admin", "domain": {"name": "Default"}, "password": "secret"}
SCOPE = {"project": {"name": "admin", "domain": {"name": "Default"}}}
BODY = json.dumps(
    {"auth": {"identity": {"methods": ["password"], "password": {"user": USER}}, "scope": SCOPE}}
).encode()
JSON = {"Content-Type": "application/json"}

issued, failed = collections.Counter(), []
least = int(sys.argv[1])
while sum(issued.values()) + len(failed) < least or not select.select([sys.stdin], [], [], 0.05)[0]:
    request = urllib.request.Request("http://ep1.lab.test:5000/v3/auth/tokens", BODY, JSON)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.headers["X-Subject-Token"], "no token"
            issued[answer.headers["X-Backend"]] += 1
    except (OSError, AssertionError) as error:
        failed.append(str(error))
print(json.dumps({"issued": issued, "failed": failed}))
