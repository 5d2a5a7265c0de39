"""The recogniser that comes with the package: English letters, digits, numbers and commands.

Its model card, `en/README.md`, says what it was trained on and how well it hears.
"""

from pathlib import Path

from runtime.errors import BundleError
from runtime.manifest import MANIFEST_NAME

_FOLDER = Path(__file__).parent / "en"


def shipped_bundle():
    """Return the path of the bundle that is used where none is named.

    Raises:
        BundleError: this installation came without it.
    """
    if not (_FOLDER / MANIFEST_NAME).is_file():
        raise BundleError(
            "this installation came without its recogniser", hint="name a bundle: a directory that lottery-export wrote"
        )
    return _FOLDER
