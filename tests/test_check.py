"""Rules that adapters have to pass: what fails, layer by layer, and what a pipeline reads of it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from safetensors.torch import load_file, save_file

from neatlab.cli import main
from neatlab.inspection.rules import RULES
from tests.models import MODELS
from tests.test_inspection import trained_lora

LLAMA = MODELS["llama"]
LAYERS = 8  # with an adapter
TEXT = {"type": "string", "minLength": 1}
# What SARIF 2.1.0 (OASIS, sections 3.13 to 3.30) asks of the parts that are written here; other properties are refused.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "additionalProperties": False,
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": TEXT,
                                    "version": TEXT,
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": TEXT,
                                                "shortDescription": {
                                                    "type": "object",
                                                    "required": ["text"],
                                                    "additionalProperties": False,
                                                    "properties": {"text": TEXT},
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
                },
            },
        },
    },
    "$defs": {
        "result": {
            "type": "object",
            "required": ["message"],
            "additionalProperties": False,
            "properties": {
                "ruleId": TEXT,
                "ruleIndex": {"type": "integer", "minimum": 0},
                "level": {"enum": ["none", "note", "warning", "error"]},
                "message": {
                    "type": "object",
                    "required": ["text"],
                    "additionalProperties": False,
                    "properties": {"text": TEXT},
                },
                "locations": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "physicalLocation": {
                                "type": "object",
                                "required": ["artifactLocation"],
                                "additionalProperties": False,
                                "properties": {
                                    "artifactLocation": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {"uri": {"type": "string", "pattern": r"^[\w\-.~:/%]+$"}},
                                    }
                                },
                            },
                            "logicalLocations": {
                                "type": "array",
                                "uniqueItems": True,
                                "items": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "properties": {"fullyQualifiedName": TEXT, "kind": TEXT},
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with one layer untouched, another with NaN, and the base."""
    root = tmp_path_factory.mktemp("check me")  # a blank, which a URI cannot have
    LLAMA.build().save_pretrained(root / "base")
    for name, value in (("adapter", 0.0), ("broken", torch.nan)):
        trained_lora(root / name)
        tensors = load_file(root / name / "adapter_model.safetensors")
        first = next(key for key in tensors if "0.self_attn.q_proj.lora_B" in key)
        tensors[first].fill_(value)
        save_file(tensors, root / name / "adapter_model.safetensors", {"format": "pt"})
    return root


def check(folder: Path, rules: str, *words: str, adapter: str = "adapter") -> int:
    (folder / "rules.toml").write_text(rules)
    return main(["inspect", str(folder / adapter), "--check", str(folder / "rules.toml"), *words])


def test_rules_that_pass_change_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "adapter")]) == 0
    plain = capsys.readouterr().out
    assert check(folder, "rank_above = 2\nnan = true\nuntouched = false") == 0
    assert capsys.readouterr().out == f"{plain}rank_above: passed\nnan: passed\n"


def test_each_layer_that_fails_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "untouched = true\nrelative_norm_above = 0\nintruders_above = 100\neffective_rank_below = 1.0"
    assert check(folder, rules, "--base", str(folder / "base")) == 1
    said, error = capsys.readouterr()
    assert "relative_norm_above: failed in 7\n" in said
    assert "intruders_above: passed\n" in said
    assert "untouched: failed in 1\n  model.layers.0.self_attn.q_proj: ‖ΔW‖ is 0" in said
    assert "  model.layers.0.self_attn.q_proj: effective rank 0.00, below 1.00\n" in said
    assert error.endswith("neatlab: 3 of 4 rules failed, in 8 layers\n")


def test_json_and_sarif_say_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder / "out.sarif"
    assert check(folder, "norm_above = 0\nuntouched = true", "--json", "--sarif", str(target)) == 1
    document, log = json.loads(capsys.readouterr().out), json.loads(target.read_text())
    assert len(document["layers"]) == LAYERS
    failures = document["check"]["failures"]
    assert document["check"]["rules"] == {"norm_above": 0.0, "untouched": True}
    assert (document["check"]["passed"], len(failures)) == (False, LAYERS)
    jsonschema.validate(log, SCHEMA, format_checker=jsonschema.FormatChecker())
    (run,) = log["runs"]
    assert [(r["ruleId"], r["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]) for r in run["results"]] == [
        (failure["rule"], failure["layer"]) for failure in failures
    ]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(ids[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert "check%20me" in run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert check(folder, "rank_above = 2", "--sarif", str(target)) == 0
    jsonschema.validate(json.loads(target.read_text()), SCHEMA)
    assert json.loads(target.read_text())["runs"][0]["results"] == []


def test_what_cannot_be_measured_for_nan_fails_its_rule(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder / "nan.sarif"
    assert check(folder, "nan = true", "--json", "--sarif", str(target), adapter="broken") == 1
    (failure,) = json.loads(capsys.readouterr().out)["check"]["failures"]
    assert (failure["rule"], failure["value"]) == ("nan", None)
    assert "q_proj.lora_B.weight" in failure["layer"]
    jsonschema.validate(json.loads(target.read_text()), SCHEMA)
    assert check(folder, "rank_above = 2", adapter="broken") == 2
    words = ["inspect", str(folder / "adapter"), str(folder / "broken"), "--check", str(folder / "rules.toml")]
    (folder / "rules.toml").write_text("nan = true")
    assert main([*words, "--json"]) == 1
    (failure,) = json.loads(capsys.readouterr().out)["check"]["failures"]
    assert failure["adapter"] == str(folder / "broken")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("effectiv_rank_below = 2", "unknown rule 'effectiv_rank_below'.*did you mean 'effective_rank_below'"),
        ("intruders = 2", "rule 'intruders' says no side; allowed: intruders_below, intruders_above"),
        ('norm_above = "0.5"', "allowed: a number; did you mean norm_above = 0.5"),
        ("norm_above = true", "rule norm_above=True; allowed: a number"),
        ("norm_above = nan", "rule norm_above=nan; allowed: a number"),
        ("norm_above = [1]", r"rule norm_above=\[1\]; allowed: a number"),
        ("untouched = 1", "rule untouched=1; allowed: true, or false"),
        ("[rules]\nnorm_above = 1", "rule 'rules' is a table; rules stand outside of tables"),
        ("norm_above", "no TOML .*a line is such as effective_rank_below = 1.5"),
        ("", "holds no rule"),
        ("relative_norm_above = 1", "rule relative_norm_above needs the model before; give it with --base"),
    ],
)
def test_wrong_rules_are_one_line(folder: Path, rules: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder, rules) == 2
    said, error = capsys.readouterr()
    assert said == ""
    assert len(error.splitlines()) == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)


def test_what_was_not_measured_is_no_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = str(folder / "base")
    assert check(folder, "intruders_above = 0", "--base", base, "--directions", "0") == 2
    assert "give the base with --base with --directions from 1" in capsys.readouterr().err
    assert main(["inspect", str(folder / "adapter"), "--sarif", "x"]) == 2
    assert "give them with --check RULES.toml" in capsys.readouterr().err
    assert check(folder, "nan = true", "--sarif", str(folder / "gone" / "x.sarif")) == 2
    assert main(["inspect", str(folder / "adapter"), "--check", str(folder / "none.toml")]) == 2


def test_every_quantity_has_two_rules() -> None:
    assert {"dead_units_above", "stable_rank_below", "amplification_above", "overlap_left_above"} <= {*RULES}
