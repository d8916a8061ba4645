"""
Nodes that are not there, as a process of its own: thousands of them hear what a real master publishes and answer
through Salt's own job cache and event bus, as a master's worker does for the answers of minions.

    python fleet.py MASTER_CONFIG_DIRECTORY SPREAD LOG

SPREAD is within how many seconds the Puppet runs of one job end, evenly; each hundredth node fails, and the one after
it is silent for good. LOG gets a line for each answer to a Puppet run: the node, and when it answered.
"""

import heapq
import json
import sys
import time
from pathlib import Path

import salt.config
import salt.minion
import salt.utils.event
import salt.utils.jid
import salt.utils.job

OUTCOMES = Path(__file__).resolve().parents[1] / "unit/utils/outcomes"
#: Lines of log in an answer, so that it is as large as those of large catalogs: 20 KiB.
LOG_LINES, LOG_LINE = 40, "Notice: /Stage[main]/Nova/Package[nova-common]/ensure: created " * 8


class Fleet:
    def __init__(self, conf, spread, log):
        self._opts, self._spread, self._log = salt.config.master_config(f"{conf}/master"), spread, log
        self._returners = salt.minion.MasterMinion(self._opts, states=False, rend=False)
        self._bus = salt.utils.event.get_event("master", sock_dir=self._opts["sock_dir"], opts=self._opts, listen=True)
        self._due, self._number = [], 0
        self._going = {}

    def run(self):
        print("listens", flush=True)
        while True:
            wait = max(0.001, min(1.0, self._due[0][0] - time.time())) if self._due else 1.0
            event = self._bus.get_event(wait=wait, full=True)
            if event and event["tag"].startswith("salt/job/") and event["tag"].endswith("/new"):
                self._ask(event["data"])
            # A few at a time: what is asked meanwhile has to be heard.
            for _ in range(20):
                if self._due and self._due[0][0] <= time.time():
                    self._answer(*heapq.heappop(self._due)[2:])

    def _ask(self, job):
        while not self._is_stored(job):
            time.sleep(0.01)
        now, nodes = time.time(), job["minions"]
        puppet = job["fun"] == "puppet_agent.run"
        for index, node in enumerate(nodes):
            if number(node) % 100 == 51 and job["fun"] != "test.ping":
                continue
            if puppet:
                self._going[node] = job["jid"]
            self._number += 1
            at = now + (0.5 + self._spread * (index + 1) / len(nodes) if puppet else 0)
            heapq.heappush(self._due, (at, self._number, job, node))

    def _answer(self, job, node):
        load = {"id": node, "jid": job["jid"], "fun": job["fun"], "fun_args": [], "retcode": 0, "success": True}
        if job["fun"] == "puppet_agent.run":
            arguments = next(each for each in job["arg"] if isinstance(each, dict) and each.get("__kwarg__"))
            outcome = outcome_of(node)
            load |= {
                "return": {**outcome, "run_id": arguments["run_id"]},
                "retcode": int(outcome["verdict"] == "failed"),
            }
            del self._going[node]
            self._log.write(f"{node} {time.time():.6f}\n")
            self._log.flush()
        elif job["fun"] == "saltutil.is_running":
            load["return"] = [{"jid": self._going[node]}] if node in self._going else []
        elif job["fun"] == "puppet_agent.status":
            run_id = next(each for each in job["arg"] if isinstance(each, dict))["run_id"]
            load["return"] = {"phase": "running", "run_id": run_id}
        else:
            load["return"] = True
        salt.utils.job.store_job(self._opts, load, event=self._bus, mminion=self._returners)

    def _is_stored(self, job):
        """Whether the master has written down whom it asked: a minion on a network is never as fast as this."""
        folder = salt.utils.jid.jid_dir(job["jid"], f"{self._opts['cachedir']}/jobs", self._opts["hash_type"])
        return Path(folder, ".minions.p").exists()


def number(node):
    return int(node[1:])


def outcome_of(node):
    """Return what Puppet did on a node: a captured outcome, with a long log."""
    name = "failed" if number(node) % 100 == 50 else "changed"
    return {**CAPTURED[name], "log_tail": [LOG_LINE] * LOG_LINES}


CAPTURED = {name: json.loads((OUTCOMES / f"{name}.json").read_text()) for name in ("failed", "changed")}

if __name__ == "__main__":
    with open(sys.argv[3], "w") as log:
        Fleet(sys.argv[1], float(sys.argv[2]), log).run()
