"""A master of masters over syndics, each with a master and minions of its own, as processes on loopback."""

import contextlib
from dataclasses import dataclass, field

import attr
import salt.channel.client
import salt.config
from houses import QUIET, House, empty_pillar, end_leftovers, in_parallel, master_settings, move_in


@dataclass
class Tree(House):
    """A house whose nodes listen to the masters below: ``syndics`` by id, each with its ``master`` and ``minion``."""

    syndics: dict = field(default_factory=dict)

    def stop_syndic(self, name):
        """End a syndic at once: its master and minions go on, and nothing passes between them and the top."""
        self.syndics[name].terminate()

    def start_syndic(self, name):
        """Start a syndic and wait until it has announced itself at the top."""
        self.syndics[name].start()

    def return_again(self, syndic, jid, node, answer):
        """Send an answer of a node up once more, as a syndic does whose first message seems to be lost."""
        conf = self.root / syndic / "conf"
        opts = salt.config.syndic_config(str(conf / "master"), str(conf / "minion"))
        opts["master_uri"] = "tcp://{interface}:{ret_port}".format(**self.master.config)
        returned = {node: {"return": answer, "retcode": 0, "success": True, "fun_args": []}}
        load = {"id": syndic, "jid": jid, "fun": "puppet_agent.run", "load": {}, "return": returned}
        with salt.channel.client.ReqChannel.factory(opts) as channel:
            channel.send({"cmd": "_syndic_return", "load": [load]}, timeout=30)

    @property
    def daemons(self):
        """All that runs, the lowest first."""
        below = [daemon for syndic in self.syndics.values() for daemon in (syndic, syndic.minion, syndic.master)]
        return [*self.minions.values(), *below, self.master]


def grown(factories, master_id, nodes, master_options, minion_options):
    """Return a tree with ``nodes`` by syndic, whose daemons are configured but not yet started."""
    root = factories.root_dir
    empty_pillar(root)
    settings = master_settings(root, master_options)
    top = factories.salt_master_daemon(master_id, order_masters=True, overrides=settings)
    tree = Tree(root, factories.python_executable, top)
    for number, (name, minions) in enumerate(nodes.items(), start=2):
        # A syndic looks for the top at the publish port of its own master: it is the same number on other machines.
        address = f"127.0.0.{number}"
        own = {"interface": address, "publish_port": top.config["publish_port"]}
        tree.syndics[name] = top.salt_syndic_daemon(
            name,
            overrides=dict(QUIET),
            master_overrides={**QUIET, "auto_accept": True, "worker_threads": 3, **own},
            minion_overrides={**QUIET, "master": address},
        )
        move_in(tree, tree.syndics[name].master, minions, {"master": address, **minion_options})
    return tree


@contextlib.contextmanager
def opened(salt_factories, name, nodes, *, python, master_options, minion_options):
    """Run a tree with ``nodes`` by syndic for as long as the block lasts."""
    factories = attr.evolve(
        salt_factories, root_dir=salt_factories.root_dir / name, python_executable=str(python), scripts_dir=None
    )
    tree = grown(factories, f"{name}-master", nodes, master_options, minion_options)
    try:
        tree.master.start()
        in_parallel(tree.start_syndic, list(nodes))
        in_parallel(tree.start_minion, list(tree.minions))
        yield tree
    finally:
        in_parallel(lambda daemon: daemon.terminate(), tree.daemons)
        end_leftovers(tree.root)
