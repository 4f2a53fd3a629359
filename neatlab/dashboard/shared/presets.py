"""PRESETS: states of the page that show something, as links. One row a preset."""

from typing import NamedTuple


class Preset(NamedTuple):
    """A named link.

    Args:
        title: Its name for people.
        text: What to look at.
        link: The state that it opens.
    """

    title: str
    text: str
    link: str


PRESETS: dict[str, Preset] = {
    "neats-home": Preset(
        "NEAT's home",
        "A wide layer whose right update is a function of its own weight, at equal parameters: NEAT gets two and a "
        "half times LoRA's rank, and knows W₀. Watch the recovered error of both.",
        "?task=teacher:kind=weight-aware&arm=lora:rank=4&arm=neat:rank=10&match=params&steps=600",
    ),
    "loras-home": Preset(
        "LoRA's home",
        "The same layer and budget, but the right update is a plain product of two thin matrices and owes nothing to "
        "W₀: LoRA's own form.",
        "?task=teacher:kind=low-rank&arm=lora:rank=4&arm=neat:rank=10&match=params&steps=600",
    ),
    "learning-rate": Preset(
        "The learning rate decides",
        "Both methods at two learning rates, a factor of ten apart. Which method is ahead? It depends on which pair "
        "you compare: never judge at one rate.",
        "?task=digits&arm=lora:rank=4,lr=0.02&arm=neat:rank=4,lr=0.02&arm=lora:rank=4,lr=0.002"
        "&arm=neat:rank=4,lr=0.002",
    ),
    "depth": Preset(
        "Depth",
        "NEAT with two, four, six and eight maps. Every ΔW stays within rank r; deeper is not simply better.",
        "?task=digits&arm=neat:rank=4,depth=2&arm=neat:rank=4,depth=4&arm=neat:rank=4,depth=6&arm=neat:rank=4,depth=8",
    ),
    "which-layers": Preset(
        "Which layers",
        "NEAT on every layer, on the first alone, on the last alone, and on all but the first: fewer layers are fewer "
        "parameters, and not every layer needs its own. Press Start; each arm has three seeds.",
        "?tab=ablate&ablate_task=digits&base=neat:rank=4&depth=2&activation=relu&grid=layers=all,first,last,1-3",
    ),
    "which-modules": Preset(
        "Which modules",
        "NEAT on the task's own targets, the queries and values, and on every linear layer, at the same rank. More "
        "layers are more parameters: look at the cost beside the score.",
        "?tab=ablate&ablate_task=digits&base=neat:rank=4&depth=2&activation=relu&grid=modules=task,linear",
    ),
    "sine": Preset(
        "The sine's frequency",
        "NEAT with σ = sin(ωx): a small ω is nearly linear, a large one folds W₀ many times over. Somewhere between "
        "the two f bends and can still be learnt.",
        "?tab=ablate&ablate_task=digits&base=neat:rank=4&depth=2&activation=sin&grid=frequency=0.3,1.0,3.0,10.0,30.0",
    ),
    "little-data": Preset(
        "Little data",
        "NEAT against LoRA of the same rank on a twentieth to all of the training images, of each class its share and "
        "for both the same. On a square layer NEAT can only win by learning better from little data: does it?",
        "?tab=ablate&ablate_task=digits&base=neat:rank=4&depth=2&activation=relu&grid=train_size=0.05,0.1,0.25,0.5,1.0",
    ),
}
