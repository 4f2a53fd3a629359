"""The Chromium of this machine; `scripts/chromium.sh` installs one."""

import os
import shutil

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> dict[str, str]:
    """Playwright's option for it; none where only Playwright has one of its own."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return {"executable_path": path} if path else {}
