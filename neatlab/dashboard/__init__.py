"""The dashboard: NEAT and LoRA side by side in a browser."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported: nothing leaves the machine

from neatlab.dashboard.page import build
from neatlab.dashboard.server import launch

__all__ = ["build", "launch"]
