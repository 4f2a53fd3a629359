"""What the page's processes call, and what they are forked from: names of modules as text, for the page itself
must not import them.
"""

TRAIN = "neatlab.dashboard.train.worker:train"
SWEEP = "neatlab.dashboard.sweeps.worker:run"
PREPARE_DATA = "neatlab.dashboard.train.data_worker:make"
SCALE = "neatlab.dashboard.inspect.worker:scale"
INSPECT = "neatlab.dashboard.inspect.worker:inspect"
SCRIPTS = "neatlab.dashboard.train.take_worker:write"
ACT = "neatlab.dashboard.inspect.act_worker:act"
EXPORT = "neatlab.dashboard.runs.worker:write"
REPLAY = "neatlab.dashboard.replay.worker:write"
CONTAINS = "neatlab.dashboard.understand.worker:contains"
PRELOADED = ["neatlab.experiments.preload", "neatlab.dashboard.train.worker"]
