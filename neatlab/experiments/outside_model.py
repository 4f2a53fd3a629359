"""A model that others train, read between two of its steps: its adapters' ΔW, layer by layer, and their settings."""

import math
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from torch import Tensor, nn

from neatlab.adapters.attach import tuner_layers
from neatlab.adapters.deltas import delta, initial_factors
from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.methods import METHODS, Method
from neatlab.adapters.neat import NeatLayer
from neatlab.adapters.neat.storage import storage_of
from neatlab.analysis.spectra import Spectrum, spectrum
from neatlab.config import Arm
from neatlab.errors import BadInput

MAX_DENSE_SIDE = 768  # of a ΔW without thin factors whose singular values are computed while someone waits
OPTIONS = {"rank": "r", "alpha": "lora_alpha", "pairs": "depth"}  # option of a method → its name in PEFT's config
FLAGS = {"use_dora": "dora", "use_rslora": "rslora"}  # of PEFT's LoRA → the method that it makes


class LayerSpectrum(NamedTuple):
    """What is measured of one layer.

    Args:
        name: The layer in the base model.
        spectrum: Of ΔW.
        relative_norm: ‖ΔW‖_F/‖W₀‖_F.
        dead_units: Share of a NEAT's hidden units that are dead; NaN for other methods.
    """

    name: str
    spectrum: Spectrum
    relative_norm: float
    dead_units: float


class OutsideModel:
    """The adapters of a model that is trained elsewhere.

    Args:
        model: The model, wrapped by PEFT, by accelerate, compiled or not.
        fresh: Whether it has not trained yet; what PiSSA took out of W₀ is known only then.

    Attributes:
        method: Key of METHODS; "full" without an adapter.
        layers: Adapted layers whose ΔW is read → (d_out, d_in).
        note: What is left out, and why; empty where nothing is.

    Raises:
        BadInput: An adapter whose ΔW is not known here.
    """

    def __init__(self, model: nn.Module, fresh: bool = True) -> None:
        self.model = unwrapped(model)
        self.adapter, self.config = _config_of(self.model)
        self.method = "full" if self.config is None else _method_of(self.config)
        self.note = ""
        self._tuners = {} if self.config is None else self._readable()
        if not fresh and self._row.takes_from_weight:
            self._leave_out([*self._tuners], "what its start took out of W₀ is not known after a checkpoint")
        self._shapes = {
            name: storage_of(layer.get_base_layer()).shape(layer.get_base_layer())
            for name, layer in self._tuners.items()
        }
        self._start = self._initial() if self._row.takes_from_weight else {}
        self._leave_out([name for name in self._tuners if self._is_too_large(name)], "no thin factors, and large")

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """Name → (d_out, d_in) of the layers that are measured."""
        return {name: self._shapes[name] for name in self._tuners}

    @property
    def arm(self) -> Arm:
        """The method with the options that the lab has for it."""
        return Arm(method=self.method, options=_options(self._row, self.config))

    @property
    def base(self) -> str:
        """The base model: its folder, or its name on a hub; empty where it has none."""
        config: Any = getattr(self.model, "config", None)
        name = str(
            getattr(self.config, "base_model_name_or_path", None) or getattr(config, "_name_or_path", None) or ""
        )
        return str(Path(name).resolve()) if name and Path(name).is_dir() else name

    @property
    def name(self) -> str:
        """The base model's name, for people."""
        inner: Any = self.model
        return (
            Path(self.base).name or type(inner.get_base_model() if hasattr(inner, "get_base_model") else inner).__name__
        )

    @property
    def device(self) -> str:
        """Where it lies."""
        return str(next(self.model.parameters()).device)

    def counts(self) -> tuple[int, int, int]:
        """Parameters: trainable, those of the adapter alone, and all."""
        parameters = list(self.model.named_parameters())
        trainable = sum(p.numel() for _, p in parameters if p.requires_grad)
        inside = [p for layer in self._all_tuners() for p in layer.parameters() if p.requires_grad]
        adapter = sum(p.numel() for p in {id(p): p for p in inside}.values())
        return trainable, adapter or trainable, sum(p.numel() for _, p in parameters)

    def measure(self) -> Iterator[LayerSpectrum]:
        """Every layer's spectrum as it is now, from thin factors where it has them; none of a ΔW that is not finite."""
        for name, layer in self._tuners.items():
            change = self._delta(name)
            if not _is_finite(change):
                continue
            measured = spectrum(change)
            dead = layer.dead_units(self.adapter) if isinstance(layer, NeatLayer) else math.nan
            yield LayerSpectrum(name, measured, measured.norm / self._norms[name], dead)

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT does; a model that trains whole is not copied."""
        model: Any = self.model
        if self.config is None or self._is_sharded or not hasattr(model, "save_pretrained"):
            return
        if isinstance(model, PeftModel):  # the hub is not asked for the size of the vocabulary
            model.save_pretrained(str(folder), selected_adapters=[self.adapter], save_embedding_layers=False)
        else:
            model.save_pretrained(str(folder))
        if (folder / self.adapter).is_dir():  # where PEFT puts one that is not called "default"
            shutil.copytree(folder / self.adapter, folder, dirs_exist_ok=True)
            shutil.rmtree(folder / self.adapter)

    @property
    def _row(self) -> Method:
        return METHODS[self.method]

    def _all_tuners(self) -> list[Any]:
        return [layer for _, layer in tuner_layers(self.model)]

    def _readable(self) -> dict[str, Any]:
        """The adapted layers with a matrix ΔW."""
        tuners = dict(tuner_layers(self.model))
        if self._is_sharded:
            self._leave_out([*tuners], "its weights lie on several processes in parts")
            return {}
        return {name: layer for name, layer in tuners.items() if _is_linear(layer)}

    @cached_property
    def _is_sharded(self) -> bool:
        return any(hasattr(p, "ds_id") or hasattr(p, "device_mesh") for p in self.model.parameters())

    def _leave_out(self, names: list[str], reason: str) -> None:
        if names:
            self.note = f"{len(names)} adapted layers have no spectra, {names[0]} first: {reason}"
            self._tuners = {n: layer for n, layer in getattr(self, "_tuners", {}).items() if n not in names}

    def _is_too_large(self, name: str) -> bool:
        settings: Any = self.config
        is_thin = self._row.factors is not None and not getattr(settings, "use_dora", False)
        return not is_thin and min(self._shapes[name]) > MAX_DENSE_SIDE

    def _initial(self) -> dict[str, Factors]:
        made = {name: initial_factors(layer, self.adapter, self._zeros(name)) for name, layer in self._tuners.items()}
        return {name: one for name, one in made.items() if one is not None}

    def _delta(self, name: str) -> Delta:
        settings: Any = self.config
        files = self._row.files
        needs = files is not None and files.needs_weight(settings.to_dict())
        weight = self._weight(name) if needs and not self._start else self._zeros(name)
        result = delta(self._tuners[name], self.adapter, weight, self._start.get(name))
        return Factors(result.left.cpu(), result.right.cpu()) if isinstance(result, Factors) else result.cpu()

    def _zeros(self, name: str) -> Tensor:
        return torch.zeros(()).expand(self._shapes[name])

    def _weight(self, name: str) -> Tensor:
        """W₀ before the adapter was attached, d_out × d_in."""
        base = self._tuners[name].get_base_layer()
        weight = storage_of(base).read(base)
        return weight + self._start[name].dense().to(weight) if name in self._start else weight

    @cached_property
    def _norms(self) -> dict[str, float]:
        """Layer → ‖W₀‖_F, read once."""
        return {name: float(self._weight(name).float().norm()) or math.nan for name in self._tuners}


def unwrapped(model: Any) -> nn.Module:
    """The model inside of what accelerate and torch.compile put around it."""
    while True:
        inner = getattr(model, "_orig_mod", None) or _distributed(model)
        if inner is None:
            return model
        model = inner


def _distributed(model: Any) -> Any:
    kinds = (nn.parallel.DistributedDataParallel, nn.DataParallel)
    return model.module if isinstance(model, kinds) else None


def _config_of(model: nn.Module) -> tuple[str, Any]:
    """The active adapter's name and PEFT configuration; ("", None) without an adapter."""
    holders = (getattr(module, "peft_config", None) for module in model.modules())
    configs: dict[str, Any] = next((one for one in holders if isinstance(one, dict) and one), {})
    layers = list(tuner_layers(model))
    if not layers:
        return next(iter(configs.items()), ("", None))  # of a prompt, say, which is refused by its type
    name = layers[0][1].active_adapters[0]
    if name not in configs:
        raise BadInput(f"the model's layers have the adapter {name!r}, and no peft_config of it; wrap it by PEFT")
    return name, configs[name]


def _method_of(config: Any) -> str:
    """The row of METHODS that a PEFT configuration is of."""
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    rows = [name for name, row in METHODS.items() if row.files and row.files.type == kind]
    if not rows:
        known = dict.fromkeys(row.files.type for row in METHODS.values() if row.files)
        raise BadInput(f"ΔW of a {kind} adapter is not known here; allowed: {', '.join(known)}")
    flags = [method for flag, method in FLAGS.items() if getattr(config, flag, False) and method in rows]
    start = str(getattr(config, "init_lora_weights", "")).partition("_")[0]
    return next(iter(flags), "pissa" if start in ("pissa", "olora") and "pissa" in rows else rows[0])


def _options(row: Method, config: Any) -> dict[str, Any]:
    """The options of the lab's method that the configuration says, as far as the lab has them."""
    values = {name: _option(config, name) for name in row.options.model_fields}
    given = {name: value for name, value in values.items() if value is not None}
    if given.get("alpha") == given.get("rank"):  # which is the default
        given.pop("alpha", None)
    if not _is_allowed(row, given):
        given = {name: value for name, value in given.items() if _is_allowed(row, {name: value})}
    return row.options.parse(given if _is_allowed(row, given) else {}, "the adapter").model_dump()


def _option(config: Any, name: str) -> Any:
    if name == "modules":
        return _modules(config)
    value = getattr(config, OPTIONS.get(name, name), None)
    if name == "activation":
        return value or getattr(config, "act_fn", None)
    return None if isinstance(value, bool) else value  # init_weights, which the lab calls by other names


def _is_allowed(row: Method, given: dict[str, Any]) -> bool:
    try:
        row.options.parse(given, "the adapter")
    except BadInput:
        return False
    return True


def _modules(config: Any) -> str | None:
    """The target modules as an arm writes them."""
    targets = getattr(config, "target_modules", None)
    return "+".join(sorted(targets)) if isinstance(targets, set | list | tuple) else None


def _is_finite(change: Delta) -> bool:
    parts = (change.left, change.right) if isinstance(change, Factors) else (change,)
    return all(bool(torch.isfinite(part).all()) for part in parts)


def _is_linear(layer: Any) -> bool:
    base = layer.get_base_layer()
    return not isinstance(base, nn.Embedding) and (hasattr(base, "out_features") or hasattr(base, "nf"))
