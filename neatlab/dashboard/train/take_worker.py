"""What a process does that writes the scripts of a training's arms."""

from multiprocessing.connection import Connection
from typing import Any

from neatlab.config import RunConfig
from neatlab.dashboard.shared.process import begin
from neatlab.errors import NeatlabError
from neatlab.export.snippet import snippet


def write(order: tuple[str, ...], root: str, pipe: "Connection[Any, Any]") -> None:
    """Write the PEFT script of each run.

    Args:
        order: Configurations, as JSON.
        root: Runs folder; not needed.
        pipe: Gives ("result", scripts in the order of the runs) or ("refused", "run", message).
    """
    begin()
    try:
        pipe.send(("result", [snippet(RunConfig.model_validate_json(config)) for config in order]))
    except (NeatlabError, OSError) as error:
        pipe.send(("refused", "run", str(error)))
