"""Where a node finds PuppetDB, and what it makes of answers that no PuppetDB should give."""

import json

import puppetdb_node
import pytest
import requests
from salt.exceptions import CommandExecutionError

NODE = {"certname": "cmp1", "deactivated": None, "catalog_timestamp": "2026-11-23T08:17:57.948Z", "report_timestamp": 5}


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("[main]\nserver_urls = https://a:8081, https://b:8081,\n", ["https://a:8081", " https://b:8081"]),
        ("[main]\nserver = a\nport = 8082\nsoft_write_failure = true\n", ["https://a:8082"]),
        ("[main]\nserver = a\n", ["https://a:8081"]),
        ("[main]\n", []),
        ("", []),
        ("server_urls = https://a:8081\n", []),
        ("[main]\nserver_urls = https://%a:8081\n", ["https://%a:8081"]),
    ],
)
def test_puppetdb_conf_tells_where_puppetdb_is(text, urls):
    assert puppetdb_node._urls(text) == urls


@pytest.fixture
def asked(monkeypatch):
    """Answer in PuppetDB's place, in turn; the requests that were made are returned."""
    answers, made = [], []

    def answer(session, method, url, **content):
        made.append((method, url, content))
        status, text = answers.pop(0)
        response = requests.Response()
        response.status_code, response._content, response.encoding = status, text.encode(), "utf-8"
        return response

    settings = dict.fromkeys(("certificate", "private_key", "ca_file"), "/nowhere") | {"url": "https://puppetdb:8081/"}
    monkeypatch.setattr(puppetdb_node.requests.Session, "request", answer)
    monkeypatch.setattr(puppetdb_node, "__salt__", {"config.get": lambda *_: settings}, raising=False)
    monkeypatch.setattr(puppetdb_node, "__context__", {}, raising=False)
    return answers, made, settings


def test_an_order_that_stays_in_the_queue_is_an_error(asked):
    answers, made, _ = asked
    queued = {"uuid": "9e03626e-293f-491a-b607-778bd388f191", "processed": False, "timed_out": True}
    answers += [(200, json.dumps(NODE)), (200, '[{"count": 1}]'), (503, json.dumps(queued))]
    with pytest.raises(CommandExecutionError, match="has not deactivated cmp1 within 5 seconds: look at its queue"):
        puppetdb_node.deactivate("cmp1", timeout=5)
    method, url, content = made[-1]
    assert (method, url) == ("POST", "https://puppetdb:8081/pdb/cmd/v1")
    assert content["params"]["secondsToWaitForCompletion"] == 5
    assert (content["json"]["certname"], content["allow_redirects"]) == ("cmp1", False)


@pytest.mark.parametrize(
    ("status", "text", "sentence"),
    [
        (200, "<html>welcome", r"did not answer with JSON: '<html>welcome'$"),
        (302, "", r"answered HTTP 302: $"),
        (500, "Server\nError " + "x" * 1000, r"answered HTTP 500: Server Error x{,300}…$"),
    ],
)
def test_an_answer_that_is_none_is_told_in_one_sentence(asked, status, text, sentence):
    asked[0].append((status, text))
    with pytest.raises(CommandExecutionError, match=r"^PuppetDB at https://puppetdb:8081 " + sentence) as error:
        puppetdb_node.status("cmp1")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rows", ["[]", "{}", '{"error": 1}', "[5]", '[{"count": null}]'])
def test_an_answer_of_another_shape_is_not_known(asked, rows):
    asked[0].extend([(200, json.dumps(NODE)), (200, rows)])
    found = puppetdb_node.status("cmp1")
    assert (found["collected"], found["report_timestamp"]) == (None, "5")


@pytest.mark.parametrize("url", ["", "puppetdb:8081", 5, [], [5], "ftp://a", "https://"])
def test_what_is_no_address_is_told_in_one_sentence(asked, url):
    for given in ({"url": url}, {}):
        asked[2].update({} if given else {"url": url})
        with pytest.raises(CommandExecutionError, match="is no address of PuppetDB: set url, such as"):
            puppetdb_node.status("cmp1", **given)


def test_a_setting_that_does_not_exist_is_told_with_those_that_do(asked):
    asked[2]["uri"] = "https://puppetdb:8081"
    with pytest.raises(CommandExecutionError, match="it may have url, certificate, private_key, ca_file and nothing"):
        puppetdb_node.status("cmp1")
