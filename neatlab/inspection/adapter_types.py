"""The types of PEFT adapter that can be inspected: those of the methods in METHODS, by PEFT's name of the type."""

from neatlab.adapters.methods import METHODS, AdapterFiles

ADAPTER_TYPES: dict[str, AdapterFiles] = {row.files.type: row.files for row in METHODS.values() if row.files}

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
