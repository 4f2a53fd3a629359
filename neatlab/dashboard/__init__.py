"""The dashboard: a page that trains arms side by side and shows what each does to the weights.

Gradio is imported when the page is built, not by the training processes, which need this package's orders alone.
"""

import os
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported: nothing leaves the machine

__all__ = ["build", "launch"]


def __getattr__(name: str) -> Any:
    if name == "build":
        from neatlab.dashboard.page import build

        return build
    if name == "launch":
        from neatlab.dashboard.server import launch

        return launch
    raise AttributeError(f"module 'neatlab.dashboard' has no attribute {name!r}")
