"""SETS: real text that comes inside the package, each file read only where its digest fits. One row a set.

The folder of a set holds `examples.tsv.gz`, its licence, and what to cite.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from neatlab.errors import BadInput

ROOT = Path(__file__).parent / "data"
SHOWN = 12  # hexadecimal digits of a digest in a message


@dataclass(frozen=True)
class ShippedSet:
    """One set of texts.

    Args:
        name: Its folder.
        license: Its licence, by its SPDX name.
        source: Whose it is, and where it was published.
        sha256: Digest of `examples.tsv.gz`.
    """

    name: str
    license: str
    source: str
    sha256: str

    @property
    def path(self) -> Path:
        """The file of its examples."""
        return ROOT / self.name / "examples.tsv.gz"

    @cached_property
    def rows(self) -> list[tuple[str, ...]]:
        """Its examples, each a text a column, as its README names them.

        Raises:
            BadInput: The file cannot be read, or is not the one of this version.
        """
        lines = gzip.decompress(self._checked()).decode().split("\n")
        return [tuple(line.split("\t")) for line in lines[1:]]

    def _checked(self) -> bytes:
        again = "install neatlab again"
        try:
            packed = self.path.read_bytes()
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read ({error.strerror}); {again}") from error
        digest = hashlib.sha256(packed).hexdigest()
        if digest != self.sha256:
            differ = f"its SHA-256 is {digest[:SHOWN]}…, not {self.sha256[:SHOWN]}…"
            raise BadInput(f"{self.path} is not the file of this version: {differ}; {again}")
        return packed


SETS: dict[str, ShippedSet] = {
    "banking77": ShippedSet(
        "banking77",
        "CC-BY-4.0",
        "PolyAI, Casanueva et al. 2020, arXiv:2003.04807",
        "e9cd3b75af5c78616b66aa8def322fc72230832bc6964ddf401fa833852a4ea3",
    ),
    "clinc150": ShippedSet(
        "clinc150",
        "CC-BY-3.0",
        "Clinc, Larson et al. 2019, arXiv:1909.02027",
        "07e3d4d600a7f26c64a420fcd5284872a51120497272d7d06ef52a662eff86f5",
    ),
    "vader": ShippedSet(
        "vader",
        "MIT",
        "Hutto and Gilbert 2014, vaderSentiment 3.3.2",
        "8eebc843c2ba1a1a97b30d02c240833e549c76983066429bb8a020f420c60e84",
    ),
}
