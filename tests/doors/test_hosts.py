"""A page that points its name at this machine, or has its visitors ask it, gets nothing and changes nothing."""

from typing import Any

import httpx
import pytest

from neatlab.dashboard.doors.hosts import TrustedHosts
from neatlab.errors import BadInput
from tests.browser.conftest import App

START: dict[str, Any] = {"data": ["teacher:kind=low-rank", ["lora:rank=1"], 1, 0, None, None, None]}
FILES = {"files": ("page.txt", b"from elsewhere")}
FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},  # another server of this machine
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
]


@pytest.mark.process
class TestServer:
    @pytest.mark.parametrize("path", ["", "config", "gradio_api/queue/data?session_hash=a", "gradio_api/heartbeat/a"])
    def test_it_does_not_answer_to_another_name(self, http: httpx.Client, path: str) -> None:
        answer = http.get(path, headers={"Host": "evil.example:7860"})
        assert answer.status_code == 403
        assert "does not answer to 'evil.example'; it does when started with --trust-host" in answer.json()["error"]

    @pytest.mark.parametrize("headers", [{"Host": "evil.example"}, *FOREIGN])
    def test_no_other_page_starts_stops_or_uploads(
        self, http: httpx.Client, server: App, headers: dict[str, str]
    ) -> None:
        def jobs() -> Any:
            return http.post("gradio_api/run/list", json={"data": []}).json()["data"][0]["jobs"]

        before, known = jobs(), set(server.runs.iterdir())
        for path in ("run/start", "api/start", "call/start", "queue/join", "run/stop"):
            assert http.post(f"gradio_api/{path}", json=START, headers=headers).status_code == 403
        assert http.post("gradio_api/upload", files=FILES, headers=headers).status_code == 403
        assert (jobs(), set(server.runs.iterdir())) == (before, known)

    @pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:7860", "lab.example.org"])
    def test_it_answers_to_its_own_names_and_their_pages(self, http: httpx.Client, host: str) -> None:
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert http.post("gradio_api/run/list", json={"data": []}, headers=headers).status_code == 200

    def test_a_proxy_may_have_another_name_and_a_link_from_elsewhere_opens_the_page(self, http: httpx.Client) -> None:
        proxied = {"Origin": "https://lab.example.org"}
        assert http.post("gradio_api/run/list", json={"data": []}, headers=proxied).status_code == 200
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert http.get("", headers=link).status_code == 200


def test_a_wildcard_answers_to_every_address_and_to_no_other_name() -> None:
    hosts = TrustedHosts("0.0.0.0")
    assert hosts.includes("192.168.1.5:7860")
    assert not hosts.includes("evil.example:7860")
    assert not TrustedHosts("127.0.0.1").includes("192.168.1.5:7860")
    assert TrustedHosts("192.168.1.5").includes("192.168.1.5:7860")
    assert not TrustedHosts("192.168.1.5").includes("192.168.1.6")


@pytest.mark.parametrize("host", ["", ":7860", "[::1", "127.0.0.1.evil.example", "evil@127.0.0.1", "localhost.evil"])
def test_what_only_looks_like_a_name_of_this_machine_is_none(host: str) -> None:
    hosts = TrustedHosts("127.0.0.1")
    assert not hosts.includes(host)
    assert not hosts.is_own(f"http://{host}x", "127.0.0.1:7860")


@pytest.mark.parametrize("name", ["http://lab.example.org", "lab:7860", "", "a b"])
def test_a_trusted_host_is_a_name_alone(name: str) -> None:
    with pytest.raises(BadInput, match="--trust-host"):
        TrustedHosts("127.0.0.1", [name])
