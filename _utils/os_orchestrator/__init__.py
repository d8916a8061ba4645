"""The engine of os-orchestrator: Puppet runs on many nodes, in the right order, with a true word about each."""

__version__ = "0.1.0"
