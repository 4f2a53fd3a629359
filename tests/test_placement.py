"""Where adapters go: the layers and modules of an arm, held against PEFT's own choice, on every model of the tests."""

import pytest
from peft import LoraConfig, get_peft_model

from neatlab import BadInput
from neatlab.adapters.attach import attach, quiet_peft, tuner_layers
from neatlab.adapters.methods import METHODS
from neatlab.adapters.methods.base import PlacedOptions
from neatlab.adapters.placement import place
from neatlab.config import make_arm
from tests.models import MODELS
from tests.test_methods import options as small

PLACED = [name for name, row in METHODS.items() if issubclass(row.options, PlacedOptions)]


def options(method="neat", **settings):
    return METHODS[method].options(**settings)


def adapted_names(tiny, **settings):
    return [
        name
        for name, _ in tuner_layers(attach(tiny.build(), "neat", options(**settings), tiny.targets, tiny.head).model)
    ]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("layers", "indices"), [("0", [0]), ("first", [0]), ("last", [1]), ("0-1", [0, 1])])
def test_layers_are_those_that_peft_transforms(name, layers, indices):
    tiny = MODELS[name]
    with quiet_peft():
        theirs = get_peft_model(tiny.build(), LoraConfig(target_modules=tiny.targets, layers_to_transform=indices))
    assert adapted_names(tiny, layers=layers) == [name for name, _ in tuner_layers(theirs)]


@pytest.mark.parametrize("name", MODELS)
def test_every_linear_layer_is_what_peft_takes_for_all(name):
    tiny = MODELS[name]
    with quiet_peft():
        config = LoraConfig(target_modules="all-linear", modules_to_save=tiny.head or None)
        theirs = {name for name, _ in tuner_layers(get_peft_model(tiny.build(), config))}
    ours = set(adapted_names(tiny, modules="linear"))
    assert {name for name in theirs if not set(name.split(".")) & set(tiny.head)} == ours
    assert ours > set(adapted_names(tiny))


def test_named_modules_take_the_place_of_the_tasks_own():
    tiny = MODELS["llama"]
    assert adapted_names(tiny, modules="up_proj+down_proj", layers="last") == [
        "model.layers.1.mlp.up_proj",
        "model.layers.1.mlp.down_proj",
    ]
    assert place(tiny.build(), options(), tiny.targets, tiny.head) is tiny.targets


@pytest.mark.parametrize("method", PLACED)
def test_every_method_with_an_adapter_can_be_placed(method):
    tiny = MODELS["llama"]
    arm = make_arm(method, {**small(method).model_dump(), "layers": "first", "modules": "q_proj"})
    made = attach(tiny.build(), method, METHODS[method].options(**arm.options), tiny.targets, tiny.head)
    assert list(made.layers) == ["model.layers.0.self_attn.q_proj"]
    assert list(made.deltas()) == list(made.layers)
    assert sum(p.numel() for p in made.adapter_parameters()) > 0
    assert "layers=first" in arm.label and "modules=q_proj" in arm.label


def test_only_what_has_no_adapter_cannot():
    assert set(METHODS) - set(PLACED) == {"full", "head"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"modules": "q_prj"}, "did you mean 'q_proj'"),
        ({"modules": "q_proj+lm_head"}, "unknown module 'lm_head'"),
        ({"layers": "2"}, "layers=2; the model has the layers 0 to 1"),
        ({"layers": "1-4"}, "layers=1-4; the model has the layers 0 to 1"),
        ({"layers": "1-0"}, "layers=1-0"),
    ],
)
def test_what_the_model_does_not_have_is_named(settings, said):
    tiny = MODELS["llama"]
    with pytest.raises(BadInput, match=said):
        place(tiny.build(), options(**settings), tiny.targets, tiny.head)


@pytest.mark.parametrize(
    "given", [{"layers": "some"}, {"layers": "-1"}, {"layers": "1-"}, {"modules": ""}, {"modules": "a b"}]
)
def test_what_cannot_be_is_refused_before_a_model_is_loaded(given):
    with pytest.raises(BadInput, match=r"arm 'neat': (layers|modules)="):
        make_arm("neat", given)
