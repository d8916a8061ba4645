"""What a caller asked for: the arguments of a run and the settings of its node, checked, and Puppet's command line."""

import datetime
import os
import re
import secrets
import shutil
from pathlib import Path

import salt.exceptions

from os_orchestrator.node import supervisor

SETTINGS = ("puppet", "confdir", "vardir", "mode", "manifest", "modulepath")
IDENTITY = ("mode", "manifest", "puppet_environment", "noop", "tags", "skip_tags", "may_fail")
# Seconds.
LONGEST = 30 * 24 * 3600

VARDIRS = ("/opt/puppetlabs/puppet/cache", "/var/cache/puppet", "/var/lib/puppet", "~/.puppetlabs/opt/puppet/cache")

# What a name may be, for the machine and for people.
RUN_ID = (
    re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"),
    "up to 128 letters, digits and . _ - (a letter or digit first)",
)
OWNER = (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"), "up to 128 letters, digits and . _ -")
TAG = (re.compile(r"[A-Za-z0-9_:.-]+"), "letters, digits and _ : . -")
ENVIRONMENT = (re.compile(r"[a-z0-9_]+"), "small letters, digits and _")


def checked(name, value, is_right, wanted):
    """Return an argument that is right; refuse it otherwise."""
    if not is_right:
        raise salt.exceptions.SaltInvocationError(f"{name}={value!r} is not possible: it must be {wanted}")
    return value


def _flag(name, value):
    return checked(name, value, isinstance(value, bool), "True or False")


def seconds(name, value, least):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    wanted = f"a number of seconds from {least} to {LONGEST}"
    return checked(name, value, is_number and least <= value <= LONGEST, wanted)


def matching(name, value, kind):
    pattern, wanted = kind
    return checked(name, value, isinstance(value, str) and pattern.fullmatch(value), wanted)


def _path(name, value):
    is_right = isinstance(value, str) and value.startswith("/") and value.isprintable()
    return checked(name, value, is_right, "an absolute path")


def message(value):
    """Refuse what Puppet could take for an option, or a log for two lines."""
    is_right = isinstance(value, str) and re.fullmatch(r"[^\W-].*", value) and value.isprintable()
    return checked("message", value, is_right, "one line that says why, and begins with a letter or digit")


def _tags(name, value):
    words = value.split(",") if isinstance(value, str) else value or []
    checked(name, value, isinstance(words, (list, tuple)), "a list, or text with commas")
    return [matching(name, word.strip() if isinstance(word, str) else word, TAG) for word in words]


def _patterns(name, value):
    """One pattern or a list of them: no commas, for titles contain them."""
    patterns = [value] if isinstance(value, str) else value or []
    is_right = isinstance(patterns, (list, tuple)) and all(isinstance(each, str) and each.strip() for each in patterns)
    return list(checked(name, patterns, is_right, "a resource like Service[swift-*], or a list of them"))


def node_settings(found):
    """Return the node's own settings, checked."""
    if not isinstance(found, dict) or set(found) - set(SETTINGS):
        raise salt.exceptions.CommandExecutionError(
            f"the setting puppet_agent of this node is {found!r}: it may have {', '.join(SETTINGS)} and nothing else"
        )
    settings = {name: value for name, value in found.items() if value not in (None, "")}
    if isinstance(settings.get("modulepath"), list):
        settings["modulepath"] = ":".join(map(str, settings["modulepath"]))
    for name in set(settings) - {"mode"}:
        _path(f"puppet_agent:{name}", settings[name])
    return settings


def build(settings, run_id, arguments):
    """Return what is to be run as one dictionary that says everything, or refuse it."""
    mode = arguments["mode"] or settings.get("mode", "agent")
    checked("mode", mode, mode in ("agent", "apply"), "agent or apply")
    manifest = (arguments["manifest"] or settings.get("manifest")) if mode == "apply" else arguments["manifest"]
    wanted = "the file or folder that mode=apply applies (or set puppet_agent:manifest), and only there"
    checked("manifest", manifest, (mode == "apply") is bool(manifest), wanted)
    environment, owner = arguments["puppet_environment"], arguments["quiet_owner"]
    return {
        "run_id": run_id,
        "mode": mode,
        "manifest": _path("manifest", manifest) if manifest else None,
        "puppet_environment": matching("puppet_environment", environment, ENVIRONMENT) if environment else None,
        "noop": None if arguments["noop"] is None else _flag("noop", arguments["noop"]),
        "tags": _tags("tags", arguments["tags"]),
        "skip_tags": _tags("skip_tags", arguments["skip_tags"]),
        "may_fail": _patterns("may_fail", arguments["may_fail"]),
        "show_diff": _flag("show_diff", arguments["show_diff"]),
        "timeout": seconds("timeout", arguments["timeout"], 1),
        "lock_timeout": seconds("lock_timeout", arguments["lock_timeout"], 0),
        "quiet_owner": matching("quiet_owner", owner, OWNER) if owner else None,
        "requested": supervisor.now(),
    }


def new_run_id():
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%d%H%M%S%f}-{secrets.token_hex(2)}"


# Puppet's command line


def command(puppet, settings, request, report):
    """Return the argument list of one run of Puppet."""
    command = [puppet, request["mode"], *places(settings)]
    if request["mode"] == "agent":
        command += ["--onetime", "--no-daemonize", "--no-splay", "--waitforlock=0"]
        command += ["--no-usecacheonfailure", "--no-use_cached_catalog"]
    command += ["--verbose", "--color=false", "--logdest=console", "--detailed-exitcodes"]
    # The supervisor has its own timeout; a site that sends no reports still needs this run's own.
    command += ["--runtimeout=0", "--report", f"--lastrunreport={report}"]
    command += ["--show_diff" if request["show_diff"] else "--no-show_diff"]
    if request["noop"] is not None:
        command += ["--noop" if request["noop"] else "--no-noop"]
    if request["puppet_environment"]:
        # Strict: without it Puppet runs another environment when the server does not have this one.
        command += [f"--environment={request['puppet_environment']}", "--strict_environment_mode"]
    command += [f"--tags={','.join(request['tags'])}"] if request["tags"] else []
    command += [f"--skip_tags={','.join(request['skip_tags'])}"] if request["skip_tags"] else []
    if request["mode"] == "apply":
        command += [f"--modulepath={settings['modulepath']}"] if "modulepath" in settings else []
        command += [request["manifest"]]
    return command


def places(settings):
    return [f"--{name}={settings[name]}" for name in ("confdir", "vardir") if name in settings]


def state_dirs(settings):
    """Return where Puppet may keep its locks; what Puppet itself says of it takes a second more."""
    places = [settings["vardir"]] if "vardir" in settings else VARDIRS
    return [str(Path(each).expanduser() / "state") for each in places]


def find_puppet(settings):
    given = settings.get("puppet")
    return shutil.which(given or "puppet", path=f"{os.environ.get('PATH', '')}:{supervisor.PATH}")
