"""What the README of a saved adapter says of NEAT: what it needs, and how it is loaded."""

from pathlib import Path

from neatlab import __version__

HEADING = "## Loading this NEAT adapter"
SECTION = f"""{HEADING}

Its type is NEAT, which PEFT knows once neatlab is imported: without it PEFT says
`KeyError: 'NEAT'`. Install neatlab (`pip install .` in its folder; this adapter was saved with {__version__}), then

```python
import neatlab  # registers NEAT with PEFT
from peft import PeftModel
model = PeftModel.from_pretrained(base_model, "the folder with adapter_config.json")
```

Where neatlab cannot be installed, `neatlab export` writes the same adapter as a LoRA. The method: Zhong et al., "NEAT:
Nonlinear Parameter-efficient Adaptation of Pre-trained Models", arXiv:2410.01870.
"""


def add_section(folder: Path) -> None:
    """Write it into the README that PEFT has made, here or one folder up where the adapter has a name; once."""
    for card in (folder / "README.md", folder.parent / "README.md"):
        if card.is_file() and "library_name: peft" in (text := card.read_text(encoding="utf-8")):
            if HEADING not in text:
                card.write_text(f"{text.rstrip()}\n\n{SECTION}", encoding="utf-8")
            return
