"""The reactor of docs/events.md on a real master, and a webhook that it tells."""

import json
import queue
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tables import DOCS

ENVIRONMENT = "environments: {site: {roles: {web: [n1]}, puppet: {timeout: 60}}}"


@pytest.fixture(scope="module")
def webhook():
    """A server that hears, with the queue of what it has heard."""
    heard = queue.Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.put((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()


def blocks(page):
    """Return the YAML of a page, block by block."""
    return re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.S)


@pytest.fixture(scope="module")
def told(open_house, file_root, webhook, tmp_path_factory):
    """A house whose master has the reactor of the page, told of this webhook."""
    configuration, sls = blocks("events.md")
    place = tmp_path_factory.mktemp("reactor") / "deployment_ended.sls"
    place.write_text(sls.replace("http://127.0.0.1:8080", webhook[0]))
    (tag,) = re.findall(r"'(.*)':", configuration)
    here = {"module_dirs": [str(file_root)]}
    master = {**here, "file_roots": {"base": [str(file_root)]}, "reactor": [{tag: [str(place)]}]}
    with open_house("r", ["n1"], master_options=master, minion_options=here) as opened:
        opened.pillar("site", ENVIRONMENT)
        yield opened


@pytest.mark.parametrize(
    ("manifest", "status", "said"),
    [
        ("notify { 'hello': }", 0, r"site puppet succeeded"),
        (
            """exec { 'it\\'s "{{ 7 * 7 }}": {%': command => '/bin/false' }""",
            1,
            r"""site puppet failed: Puppet on web: 1 of 1 nodes bad: n1 failed .*it's "\{\{ 7 \* 7 \}\}": \{%\].*""",
        ),
    ],
)
def test_the_end_of_a_deployment_is_announced(told, webhook, manifest, status, said):
    told.manifest("n1", manifest)

    result = told.salt_run("deployment.puppet", "site", "web")

    assert result.returncode == status, result.stdout
    path, body = webhook[1].get(timeout=30)
    assert path == "/deployments"
    assert body["deployment"] == result.data["answer"]["id"]
    assert re.fullmatch(said, body["text"])
