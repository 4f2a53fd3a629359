"""What each type of PEFT adapter keeps in its files: of the methods in METHODS, by PEFT's name of the type."""

from neatlab.adapters.methods import METHODS, Kind

KINDS: dict[str, Kind] = {row.files.type: row.files for row in METHODS.values() if row.files}

# Settings without a bearing on ΔW. What is set beyond these and a kind's own fields is refused by name.
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
    "lora_dropout",
    "vera_dropout",
    "hira_dropout",
    "miss_dropout",
    "rank_dropout",
    "module_dropout",
    "rank_dropout_scale",
    "init_lora_weights",
    "init_weights",
    "init_ia3_weights",
    "trainable_token_indices",
    "ensure_weight_tying",
    "runtime_config",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "megatron_core",
    "qalora_group_size",
    "use_effective_conv2d",
    "mini_r",
    "feedforward_modules",
}
