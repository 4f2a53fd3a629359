"""How to read each chart of the Train tab, in plain words."""

LEARNING = (
    "Above, the loss: lower is better. The thin line is the batch just trained on and jumps; the markers are the "
    "validation split, which nothing is trained on. Below it the task's metric. When the thin line falls on and the "
    "markers rise again, the arm learns its training data by heart. At the bottom the learning rate, which warms up "
    "and then falls: much of what looks like a difference between methods is a difference between rates."
)
LAYERS = (
    "Effective rank says how many directions the update really uses: 1 when one direction holds everything, r when "
    "all weigh the same. ‖ΔW‖/‖W₀‖ says how large the update is beside the weight that it changes. A hidden unit "
    "that is dead gives 0 for every row of W₀: NEAT cannot use its direction any more."
)
SPECTRUM = (
    "Each marker is one singular value of ΔW: how strongly the update acts along one direction. All values beyond "
    "the dotted ceiling are exactly 0, for NEAT as for LoRA, at any depth: only the last map leaves the r dimensions."
)
MAP = (
    "Each row is a layer, each column a moment. Dark cells use more directions. Layers that stay pale need fewer "
    "than they were given; that is where parameters could be saved."
)
PARAMETERS = (
    "What each arm trains. On a square layer equal rank means equal parameters. On a wide one NEAT maps over the "
    "shorter side with orientation auto, and so gets more rank for the same budget."
)
