"""A window of the page without a browser: it presses buttons over plain HTTP and hears what they answer."""

import io
import secrets
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import orjson


class Window:
    """One window.

    Args:
        http: Whoever opens it; its cookies say who that is.
        session: Its session hash; a new one by default.
    """

    def __init__(self, http: httpx.Client, session: str = "") -> None:
        self.http, self.session = http, session or secrets.token_hex(8)
        http.get("").raise_for_status()
        config = http.get("config").raise_for_status().json()
        self._values = {one["id"]: one["props"].get("value") for one in config["components"]}
        self._ids = {one["props"].get("elem_id"): one["id"] for one in config["components"]}
        self.handlers = config["dependencies"]

    def press(self, button: str, **values: Any) -> httpx.Response:
        """Press a button by its id, the form filled with these values; "inspect_files" is #inspect-files."""
        return self.call(*self._pressed(button, values))

    def call(self, index: int, data: list[Any]) -> httpx.Response:
        """Call a handler by its number."""
        given = {"data": data, "fn_index": index, "session_hash": self.session}
        return self.http.post("gradio_api/queue/join", json=given)

    def answers(self, button: str, **values: Any) -> Iterator[str]:
        """What the page hears after a button was pressed, message by message, until its handler has ended."""
        event = self.press(button, **values).raise_for_status().json()["event_id"]
        with self.http.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                message = orjson.loads(line.removeprefix("data: ")) if line else {}
                if message.get("event_id") == event:
                    yield str(message)
                    if message["msg"] == "process_completed":
                        return

    def hears(self, text: str, button: str, **values: Any) -> bool:
        """Whether a button's handler says this."""
        return text in " ".join(self.answers(button, **values))

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file; returns it as a component's value."""
        answer = self.http.post("gradio_api/upload", files={"files": (name, content)}).raise_for_status()
        return {"path": answer.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def _pressed(self, button: str, values: dict[str, Any]) -> tuple[int, list[Any]]:
        target = [self._ids[button], "click"]
        (handler,) = [one for one in self.handlers if target in [list(t) for t in one["targets"]] and one["backend_fn"]]
        given = self._values | {self._ids[name.replace("_", "-")]: value for name, value in values.items()}
        return handler["id"], [given.get(block) for block in handler["inputs"]]


def many_layers(count: int) -> bytes:
    """A LoRA adapter with so many layers."""
    shapes = {"lora_A": (1, 2), "lora_B": (2, 1)}
    return packed({f"layers.{n}.q.{part}": shape for n in range(count) for part, shape in shapes.items()})


def packed(shapes: dict[str, tuple[int, int]]) -> bytes:
    """A LoRA adapter of zeros as a zip, which is small: name of the tensor → its shape."""
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q"]}
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * shape[0] * shape[1]
        header[f"base_model.model.{name}.weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    written = orjson.dumps(header)
    written += b" " * (-len(written) % 8)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("adapter_config.json", orjson.dumps(config))
        opened.writestr("adapter_model.safetensors", len(written).to_bytes(8, "little") + written + bytes(end))
    return archive.getvalue()
