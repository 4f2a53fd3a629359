"""The types of PEFT adapter that can be inspected, by PEFT's name: those of METHODS and those of FURTHER."""

from neatlab.adapters.methods import METHODS, AdapterFiles
from neatlab.inspection.further import FURTHER

ADAPTER_TYPES: dict[str, AdapterFiles] = {
    **{row.files.type: row.files for row in METHODS.values() if row.files},
    **{name: row.files for name, row in FURTHER.items()},
}

# Settings without a bearing on ΔW, whatever the type. What is set beyond these and a type's own is refused by name.
HARMLESS = {
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "target_modules",
    "exclude_modules",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "bias",
    "fan_in_fan_out",
    "init_weights",
    "trainable_token_indices",
    "ensure_weight_tying",
    "runtime_config",
    "use_effective_conv2d",
}
