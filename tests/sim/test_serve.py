"""Both simulators as a process of their own, started and stopped as a scheduler would."""

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cio2d365.sim.certificates import loopback_certificates
from cio2d365.sim.serve import bind, write_ready

START_SECONDS = 60


@dataclass
class Running:
    """A started process and what it said when it was ready."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    ready_file: Path

    def app(self) -> httpx.Client:
        source = self.ready["customerio"]
        return httpx.Client(
            base_url=source["app_url"], timeout=60, headers={"authorization": f"Bearer {source['app_api_key']}"}
        )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    ready_file = folder / "ready.json"
    command = [sys.executable, "-m", "cio2d365.sim.serve", "--ready-file", str(ready_file), *arguments]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready_file.exists():
            assert process.poll() is None, "the process ended before it was ready"
            assert time.monotonic() < deadline, "the process was not ready in time"
            time.sleep(0.05)
        yield Running(process, json.loads(ready_file.read_text(encoding="utf-8")), ready_file)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("simulators")
    with started(folder, "--tls-dir", str(folder / "tls"), "--files-dir", str(folder / "files")) as process:
        yield process


def test_the_ready_file_has_the_keys_of_the_contract(running: Running) -> None:
    dataverse = {"url", "tls_url", "token_url", "tenant_id", "client_id", "client_secret", "control_url"}
    customerio = {"app_url", "track_url", "app_api_key", "site_id", "track_api_key", "control_url", "tls_url"}
    assert set(running.ready) == {"dataverse", "customerio", "files"}
    assert set(running.ready["dataverse"]) == dataverse
    assert set(running.ready["customerio"]) == customerio
    assert stat.S_IMODE(running.ready_file.stat().st_mode) == 0o600


def test_both_apis_of_the_source_answer_on_one_origin(running: Running) -> None:
    source = running.ready["customerio"]
    with running.app() as app:
        assert app.get("/v1/workspaces").json()["workspaces"][0]["people"] == 2000
    track = httpx.get(
        f"{source['track_url']}/api/v1/accounts/region", auth=(source["site_id"], source["track_api_key"])
    )
    assert track.json()["region"] == "us"


def test_the_target_answers_plainly_and_over_tls_with_one_state(running: Running) -> None:
    target = running.ready["dataverse"]
    context = ssl.create_default_context(cafile=running.ready_file.parent / "tls" / "ca.pem")
    headers = {"authorization": "Bearer dev-token"}
    answers = [
        httpx.get(f"{target['url']}/api/data/v9.2/WhoAmI", headers=headers),
        httpx.get(f"{target['tls_url']}/api/data/v9.2/WhoAmI", headers=headers, verify=context),
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["OrganizationId"] == answers[1].json()["OrganizationId"]


def test_the_tls_certificate_is_not_trusted_without_its_authority(running: Running) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.ready["dataverse"]["tls_url"])


def test_a_token_is_given_for_the_announced_secret_only(running: Running) -> None:
    target = running.ready["dataverse"]
    form = {
        "grant_type": "client_credentials",
        "client_id": target["client_id"],
        "client_secret": target["client_secret"],
        "scope": f"{target['url']}/.default",
    }
    assert httpx.post(target["token_url"], data=form).json()["access_token"]
    assert httpx.post(target["token_url"], data={**form, "client_secret": "wrong"}).status_code == 401


def test_the_export_files_are_there(running: Running) -> None:
    folder = Path(running.ready["files"])
    assert (folder / "people.csv").exists()
    assert len(list(folder.glob("2184.*.track.json*"))) == 8


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's table of sockets")
def test_only_loopback_is_bound(running: Running) -> None:
    ports = {int(running.ready["dataverse"][name].rpartition(":")[2]) for name in ("url", "tls_url")}
    ports.add(int(running.ready["customerio"]["app_url"].rpartition(":")[2]))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    listening = [line[1].split(":") for line in lines if line[3] == "0A"]
    bound = {address for address, port in listening if int(port, 16) in ports}
    assert bound == {"0100007F"}


def test_the_answer_of_one_does_not_wait_for_the_other(running: Running) -> None:
    """A delay in the source holds up neither the source's other requests nor the target."""
    control = running.ready["customerio"]["control_url"]
    rule = {"match": {"path": "/v1/segments"}, "action": {"verb": "delay", "seconds": 20}}
    httpx.post(f"{control}/faults", json={"rules": [rule]})
    with running.app() as app, pytest.raises(httpx.ReadTimeout):
        app.get("/v1/segments", timeout=0.2)
    with running.app() as app:
        assert app.get("/v1/info/ip_addresses", timeout=5).status_code == 200
    httpx.delete(f"{control}/faults")


def test_a_restart_keeps_secrets_and_what_was_written_and_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    state = ("--state-dir", str(tmp_path / "state"), "--workspace", "empty")
    with started(tmp_path, *state, SIM_SITE_ID="site-of-the-environment") as first:
        source = first.ready["customerio"]
        assert source["site_id"] == "site-of-the-environment"
        auth = (source["site_id"], source["track_api_key"])
        written = httpx.put(f"{source['track_url']}/api/v1/customers/42", json={"plan": "pro"}, auth=auth)
        assert written.status_code == 200
        assert first.stop() == 0
        assert not first.ready_file.exists()
    with started(tmp_path, *state) as second, second.app() as app:
        secrets = ("app_api_key", "site_id", "track_api_key")
        assert [second.ready["customerio"][name] for name in secrets] == [source[name] for name in secrets]
        assert app.get("/v1/customers/42/attributes").json()["customer"]["attributes"]["plan"] == "pro"


def test_without_a_state_folder_nothing_is_left_behind(tmp_path: Path) -> None:
    with started(tmp_path, "--workspace", "empty") as process:
        assert process.ready["dataverse"]["tls_url"] is None
        assert list(tmp_path.iterdir()) == [process.ready_file]
        assert process.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            bind(taken.getsockname()[1])


def test_the_ready_file_appears_whole(tmp_path: Path) -> None:
    write_ready(tmp_path / "deep" / "ready.json", {"a": 1})
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["ready.json"]


def test_certificates_are_used_again_while_they_are_valid(tmp_path: Path) -> None:
    first = loopback_certificates(tmp_path)
    content = first.chain.read_bytes()
    assert loopback_certificates(tmp_path).chain.read_bytes() == content
    first.key.unlink()
    assert loopback_certificates(tmp_path).chain.read_bytes() != content
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600


def test_accepted_connections_do_not_wait_to_fill_a_packet() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name their protocol."""
    with bind(0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
