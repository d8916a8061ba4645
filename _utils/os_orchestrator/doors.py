"""
The doors of the public functions: what comes in, what goes out, and how it fails.

Salt exits 0 when an argument of a runner or a state is unknown or missing, so everything public takes whatever comes,
and here it is refused, in one sentence that says what was asked, what was found, and what to write instead.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
import math
import types

from salt.exceptions import CommandExecutionError, SaltClientError, SaltInvocationError
from salt.state import STATE_INTERNAL_KEYWORDS

log = logging.getLogger(__name__)

OK = 0
ERROR = 2

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


class Refused(Exception):
    """Bad input: the text is the one sentence that the operator reads."""


_SAYS_IT_ITSELF = (Refused, SaltInvocationError, CommandExecutionError, SaltClientError)


def nearest(word, known):
    """Return the name in ``known`` that ``word`` was probably meant to be, or None."""
    found = difflib.get_close_matches(str(word), [str(name) for name in known], n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word, known):
    """Return `` (did you mean 'compute'?)`` for the nearest of ``known``, or an empty string when none is near."""
    name = nearest(word, known)
    return f" (did you mean {name!r}?)" if name is not None else ""


def boolean(value, name):
    """Return the truth value of ``value`` as the command line or an SLS gives it; ``name`` is the argument's."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int)) else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Refused(f"{name} must be true or false, not {value!r}")


def number(value, name, minimum=None, maximum=None, whole=False):
    """
    Return ``value`` as an int where it is whole, else as a float.

    minimum, maximum
        The limits, both included; none by default.

    whole
        Refuse what is not whole. False by default.
    """
    found = _number(value)
    kind = "a whole number" if whole else "a number"
    if found is None or (whole and not found.is_integer()):
        raise Refused(f"{name} must be {kind}, not {value!r}")
    if (minimum is not None and found < minimum) or (maximum is not None and found > maximum):
        raise Refused(f"{name} must be {kind} {_limits(minimum, maximum)}, not {value!r}")
    return int(found) if found.is_integer() else found


def _number(value):
    """Return the finite number that ``value`` is or spells, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _limits(minimum, maximum):
    """Return the limits in words."""
    if maximum is None:
        return f"of at least {minimum}"
    if minimum is None:
        return f"of at most {maximum}"
    return f"from {minimum} to {maximum}"


def strings(value, name):
    """
    Return a tuple of strings from a list, or from one comma separated string; None is the empty tuple.

    Titles that hold a comma (``Exec[a,b]``) must come as a list.
    """
    if value is None:
        return ()
    items = value.split(",") if isinstance(value, str) else value
    if isinstance(items, int) and not isinstance(items, bool):
        items = [items]
    if not isinstance(items, (list, tuple)):
        raise Refused(f"{name} must be a list or a comma separated string, not {value!r}")
    found = tuple(_string(item, name) for item in items)
    return () if found == ("",) else _no_blank(found, name)


def _string(item, name):
    """Return one item of a list as a string; YAML makes ints of ids such as 4711, and floats that lost their text."""
    if isinstance(item, bool) or not isinstance(item, (str, int)):
        raise Refused(f"{name} must hold strings, not {item!r}; put it in quotes")
    return str(item).strip()


def _no_blank(items, name):
    """Return ``items``, refusing an empty one."""
    if "" in items:
        raise Refused(f"{name} holds an empty item; remove the surplus comma")
    return items


def answer(data, retcode=OK, outputter="deployment"):
    """
    Return what a public runner function returns.

    The key is ``answer`` and not Salt's usual ``data``: whatever its retcode says, a return with ``data`` in it counts
    as failed in an orchestration (``salt.runner``) unless it has the form of state results.
    """
    return {"answer": data, "outputter": outputter, "retcode": retcode}


def bind(name, signature, args, kwargs, own=()):
    """
    Return the ``inspect.BoundArguments`` of a call, or refuse it with every mistake in one sentence.

    name
        The function as the operator typed it, for example ``deployment.plan``.

    own
        Parameters that the caller cannot be told of, since Salt fills them in (``name`` of a state).
    """
    mistakes = _mistakes(signature, args, kwargs)
    if mistakes:
        raise Refused(f"{name} {', and '.join(mistakes)}; it takes {_usage(signature, own)}")
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound


def _mistakes(signature, args, kwargs):
    """Return what is wrong with the arguments of a call, each as the end of a sentence."""
    parameters = list(signature.parameters.values())
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    kinds = {p.kind for p in parameters}
    given = positional[: len(args)]
    mistakes = []
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        mistakes += [f"has no place for the argument {value!r}" for value in args[len(positional) :]]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        unknown = [key for key in kwargs if key not in named]
        mistakes += [f"does not know the argument {key!r}{did_you_mean(key, named)}" for key in unknown]
    mistakes += [f"got {key} twice" for key in kwargs if key in given]
    required = [p.name for p in parameters if p.name in named and p.default is p.empty]
    mistakes += [f"needs {key}" for key in required if key not in given and key not in kwargs]
    return mistakes


def _usage(signature, own=()):
    """Return the arguments of a function in words, for example ``environment scenario [noop=False]``."""
    words = [_parameter(p) for p in signature.parameters.values() if p.name not in own]
    return " ".join(words) or "no arguments"


def _parameter(parameter):
    """Return one parameter as a manual page writes it."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"[{parameter.name} ...]"
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"[{parameter.name}=...]"
    if parameter.default is parameter.empty:
        return parameter.name
    return f"[{parameter.name}={'' if parameter.default is None else parameter.default}]"


def typed_name(function):
    """Return the name under which the operator knows a function, for example ``environment.list`` for ``list_``."""
    module = function.__module__.rpartition(".")[2]
    alias = function.__globals__.get("__func_alias__", {})
    return f"{module}.{alias.get(function.__name__, function.__name__)}"


def _in_the_module_of(function, door):
    """
    Return ``door`` as a function of the module that ``function`` belongs to.

    Salt puts ``__jid__``, ``__user__`` and the like into the globals of the functions that it loads, so the door must
    have those of the module; and no ``__wrapped__``, so that Salt sees ``*args, **kwargs`` and checks nothing itself.
    """
    public = types.FunctionType(
        door.__code__, function.__globals__, function.__name__, door.__defaults__, door.__closure__
    )
    functools.update_wrapper(public, function)
    del public.__wrapped__
    public.signature = inspect.signature(function)
    return public


def runner(function):
    """
    Make a public runner function of one that returns ``answer(...)`` and raises ``Refused``.

    It takes any arguments, never raises but for Ctrl-C and SystemExit, and sets the retcode both where the command line
    and where an orchestration look for it.
    """

    def enter(args, kwargs):
        context = function.__globals__.get("__context__", {})
        try:
            bound = _bound(function, args, kwargs)
            result = function(*bound.args, **bound.kwargs)
            context["retcode"] = result["retcode"]
        except Exception as exc:
            result = answer({"error": _sentence(exc, function)}, ERROR)
            context["retcode"] = ERROR
        return result

    def door(*args, **kwargs):
        return enter(args, kwargs)

    return _in_the_module_of(function, door)


def state(function):
    """
    Make a public state function of one that takes ``name``, returns a state's result and raises ``Refused``.

    It takes any keywords and never raises but for Ctrl-C and SystemExit; what is refused is a False result.
    """

    def enter(name, kwargs):
        try:
            bound = _bound(function, (name,), state_arguments(kwargs), own=("name",))
            return function(*bound.args, **bound.kwargs)
        except Exception as exc:
            return {"name": name, "result": False, "changes": {}, "comment": _sentence(exc, function)}

    def door(name, **kwargs):
        return enter(name, kwargs)

    return _in_the_module_of(function, door)


def state_arguments(low):
    """Return what a scenario wrote in a state's low chunk, without Salt's own keywords (``require``, ``order`` …)."""
    own = STATE_INTERNAL_KEYWORDS
    return {key: value for key, value in low.items() if key not in own and not key.startswith("__")}


def _bound(function, args, kwargs, own=()):
    """Return the bound arguments of a call as Salt makes it, with its ``__pub_*`` and other dunder keywords dropped."""
    given = {key: value for key, value in kwargs.items() if not key.startswith("__")}
    return bind(typed_name(function), inspect.signature(function), args, given, own)


def _sentence(exc, function):
    """Return what the operator reads about an exception; what nobody foresaw goes to the log too."""
    if isinstance(exc, _SAYS_IT_ITSELF):
        return str(exc)
    what = f"{typed_name(function)} failed with {type(exc).__name__}: {exc}"
    log.error("unexpected: %s", what)
    log.debug("unexpected: %s", what, exc_info=exc)
    return f"unexpected: {what}; run it again with -l debug to see where"
