"""The operator's commands, as the runners have them: each function by the name that is typed."""

import deployment
import environment

COMMANDS = {
    f"{runner.__name__}.{runner.__func_alias__.get(name, name)}": function
    for runner in (deployment, environment)
    for name, function in vars(runner).items()
    if hasattr(function, "signature")
}
