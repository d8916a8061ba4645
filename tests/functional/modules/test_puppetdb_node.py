"""A node is taken out of a real PuppetDB, which then hands out nothing that it has exported."""

import datetime
import ipaddress
import os
import shutil
import tempfile

import gate
import mariadb
import puppetdb
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

pytestmark = [pytest.mark.puppetdb, pytest.mark.skipif(not puppetdb.IS_THERE, reason=puppetdb.MISSING)]


@pytest.fixture(scope="module")
def database():
    # Above pytest's own directories, which are for root alone: PostgreSQL is another user.
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        with puppetdb.running(root, ipaddress.ip_address(f"{mariadb.network()}.81")) as found:
            yield found


@pytest.fixture
def minion(database, tmp_path):
    return gate.Minion(tmp_path / "minion", puppetdb_node={"url": database.url, **database.client})


@pytest.fixture
def puppet1(minion):
    """Call a function on a node whose certificate PuppetDB lets in."""
    return lambda function, *args, **kwargs: minion(f"puppetdb_node.{function}", *args, **kwargs)


def test_a_node_is_deactivated_once_and_what_it_exported_is_collected_no_more(minion, puppet1, database):
    database.export("cmp1.lab.test")
    before = puppet1("status", "cmp1.lab.test")
    assert (before["deactivated"], before["collected"], before["certname"]) == (None, 1, "cmp1.lab.test")
    active = puppet1("deactivated", "cmp1.lab.test")
    assert (gate.codes(active), minion.retcode) == (["active"], 1)
    assert active["reasons"][0]["message"] == (
        "cmp1.lab.test is active in PuppetDB (exported resources that others collect: 1):"
        " puppetdb_node.deactivate ends that"
    )
    first, second = puppet1("deactivate", "cmp1.lab.test"), puppet1("deactivate", "cmp1.lab.test")
    assert (first["changed"], first["collected"], second["changed"]) == (True, 0, False)
    assert second["deactivated"] == first["deactivated"] != before["deactivated"]
    answer = puppet1("deactivated", "cmp1.lab.test")
    assert (answer["ready"], answer["observed"], minion.retcode) == (True, puppet1("status", "cmp1.lab.test"), 0)


def test_the_next_catalog_of_a_node_activates_it_anew(puppet1, database):
    database.export("cmp2.lab.test")
    puppet1("deactivate", "cmp2.lab.test")
    database.export("cmp2.lab.test")
    assert gate.codes(puppet1("deactivated", "cmp2.lab.test")) == ["active"]
    assert puppet1("deactivate", "cmp2.lab.test")["changed"] is True


def test_an_order_that_is_older_than_the_catalog_is_an_error(puppet1, database):
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    database.export("cmp3.lab.test", producer_timestamp=tomorrow.isoformat())
    with pytest.raises(
        CommandExecutionError, match=r"was told to deactivate cmp3\.lab\.test and has not: its catalog of"
    ):
        puppet1("deactivate", "cmp3.lab.test")


def test_an_unknown_node_is_told_in_one_sentence(puppet1):
    cure = r"^PuppetDB knows no node cmp9\.lab\.test: give its certname, or it has been purged$"
    for verb in ("status", "deactivate"):
        with pytest.raises(CommandExecutionError, match=cure):
            puppet1(verb, "cmp9.lab.test")
    assert gate.codes(puppet1("deactivated", "cmp9.lab.test")) == ["unknown_node"]
    with pytest.raises(CommandExecutionError, match="knows no node"):
        puppet1("status", "cmp9.lab.test")


def test_the_first_address_that_can_be_reached_is_asked(puppet1, database):
    database.export("cmp4.lab.test")
    down = f"https://{database.address}:1"
    assert puppet1("status", "cmp4.lab.test", url=f"{down}, {database.url}/")["collected"] == 1
    assert puppet1("status", "cmp4.lab.test", url=[database.clear])["collected"] == 1
    answer = puppet1("deactivated", "cmp4.lab.test", url=down)
    assert gate.codes(answer) == ["no_puppetdb"]
    told = f"PuppetDB cannot be asked at {down} (Failed to establish a new connection: [Errno 111] Connection refused)"
    assert answer["reasons"][0]["message"] == f"{told}: does it run, is the certificate right?"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"certificate": "stranger.lab.test.pem", "private_key": "stranger.lab.test.key"},
            "answered HTTP 403: Permission",
        ),
        ({"certificate": "nosuch.pem"}, "Could not find the TLS certificate file"),
        ({"ca_file": "node.lab.test.pem"}, "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_a_certificate_that_is_not_right_is_told_in_one_sentence(database, tmp_path, settings, sentence):
    files = {name: str(database.root / "ssl" / file) for name, file in settings.items()}
    minion = gate.Minion(tmp_path, puppetdb_node={"url": database.url, **database.client, **files})
    answer = minion("puppetdb_node.deactivated", "cmp1.lab.test")
    assert gate.codes(answer) == ["no_puppetdb"]
    assert sentence in answer["reasons"][0]["message"]


def test_a_puppet_server_needs_no_settings(bare_node, database):
    """It has a puppetdb.conf and a certificate of its own."""
    ssl = bare_node.root / "ssl"
    own = {"certs/node.lab.test.pem": "certificate", "private_keys/node.lab.test.pem": "private_key"}
    for place, setting in (own | {"certs/ca.pem": "ca_file"}).items():
        (ssl / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(database.client[setting], ssl / place)
    bare_node.conf(ssldir=ssl)
    node = bare_node.load()
    status = node.functions["puppetdb_node.status"]
    with pytest.raises(
        CommandExecutionError, match=r"puppetdb\.conf cannot be read \(No such file or directory\): ask"
    ):
        status("cmp5.lab.test")
    (node.etc / "puppetdb.conf").write_text(f"[main]\nserver_urls = https://{database.address}:1,{database.url}\n")
    database.export("cmp5.lab.test")
    assert status("cmp5.lab.test")["collected"] == 1


@pytest.mark.parametrize("certname", ["", "../../meta", "a b", 5, None, "x?y", "-x"])
def test_a_wrong_argument_is_refused(puppet1, certname):
    for function in ("status", "deactivate", "deactivated"):
        with pytest.raises(SaltInvocationError, match="is no certname: give for example"):
            puppet1(function, certname)
    for timeout in (0, "5", True, 601):
        with pytest.raises(SaltInvocationError, match="is not possible: give seconds, from 1 to 600"):
            puppet1("deactivate", "cmp1.lab.test", timeout=timeout)
