"""Where the tree of this installation lies: the directory that holds ``_modules``, ``orch`` and the others."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def root():
    """
    Return the tree's root, which a Salt master can take as a file root as it stands.

    It is the repository where this package is used from there (``module_dirs``, ``pip install -e``), and a directory
    inside the package where it was installed as a wheel.
    """
    installed = _PACKAGE / "fileroot"
    return installed if installed.is_dir() else _PACKAGE.parent.parent


def loader_dirs():
    """Return the directories that Salt's loader is to search: the ``salt.loader`` entry point of the wheel."""
    return {kind: [str(root() / f"_{kind}")] for kind in ("modules", "output", "runners", "states")}


if __name__ == "__main__":
    print(root())
