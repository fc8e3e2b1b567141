"""The command line as people and schedulers meet it: one message, a documented exit code, nothing half-written."""

import gzip
import json
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio2d365.demo import simulators
from tests.end_to_end.test_demo import Ended, command, started

SECRETS = {
    "CIO_APP_API_KEY": "canary-app-key-1", "DATAVERSE_TENANT_ID": "7b0f1d5e-6f0b-4a52-9a36-000000000001",
    "DATAVERSE_CLIENT_ID": "7b0f1d5e-6f0b-4a52-9a36-000000000002", "DATAVERSE_CLIENT_SECRET": "canary-client-secret-1",
}  # fmt: skip


def refused(ended: Ended, *words: str) -> None:
    """One message with these words, exit code 2, no stack trace, no secret."""
    text = " ".join(ended.output.split())
    assert ended.code == 2, ended.output
    for word in words:
        assert word in text
    assert "Traceback" not in ended.output
    assert not any(secret in ended.output for name, secret in SECRETS.items() if "canary" in secret)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TestNew:
    def test_it_writes_every_setting_with_its_default(self, tmp_path: Path) -> None:
        ended = command("new", "acme", "--dataverse", "https://acme.crm4.dynamics.com",
                        "--customerio", "https://api-eu.customer.io", "--root", str(tmp_path))  # fmt: skip
        text = (tmp_path / "migrations" / "acme" / "migration.toml").read_text(encoding="utf-8")
        assert ended.code == 0
        for key in ("requests_per_second", "chunk_rows", "object_type_id", "client_secret", "[dataverse.production]"):
            assert key in text
        assert not any(secret in text for secret in SECRETS.values())

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("acme", "--dataverse", "https://acme.crm4.dynamics.com"), ("--customerio URL, --files DIR",)),
            (("../acme", "--dataverse", "https://a.crm4.dynamics.com", "--customerio", "https://api.customer.io"),
             ("cannot name a migration",)),
            (("acme", "--dataverse", "http://acme.crm4.dynamics.com", "--customerio", "https://api.customer.io"),
             ("dataverse.sandbox.url", "plain http")),
            (("acme", "--dataverse", "https://u:p@acme.crm4.dynamics.com", "--customerio", "https://api.customer.io"),
             ("no user, path or query",)),
            (("acme", "--dataverse", "https://a.crm4.dynamics.com", "--files", "no-such-folder"), ("is not a folder",)),
        ],
    )  # fmt: skip
    def test_a_wrong_argument_is_refused(
        self, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
    ) -> None:
        refused(command("new", *arguments, "--root", str(tmp_path)), *words)
        assert not (tmp_path / "migrations").exists()

    def test_an_existing_migration_is_not_overwritten(self, tmp_path: Path) -> None:
        arguments = (
            "new",
            "acme",
            "--dataverse",
            "https://a.crm4.dynamics.com",
            "--customerio",
            "https://api.customer.io",
        )
        assert command(*arguments, "--root", str(tmp_path)).code == 0
        refused(command(*arguments, "--root", str(tmp_path)), "exists already")


@pytest.fixture
def unreachable(tmp_path: Path) -> Path:
    """A migration whose hosts do not answer."""
    url = f"http://127.0.0.1:{closed_port()}"
    assert command("new", "acme", "--dataverse", url, "--customerio", url, "--root", str(tmp_path)).code == 0
    return tmp_path


class TestRunRefuses:
    def test_an_unknown_migration(self, tmp_path: Path) -> None:
        refused(command("run", "nobody", "--env", "sandbox", "--root", str(tmp_path)), "cio2d365 new nobody")

    def test_a_missing_secret_names_the_variable(self, unreachable: Path) -> None:
        environment = dict.fromkeys(SECRETS, "")
        ended = command("run", "acme", "--env", "sandbox", "--root", str(unreachable), **environment)
        refused(ended, "CIO_APP_API_KEY")

    def test_a_placeholder_instead_of_a_secret(self, unreachable: Path) -> None:
        ended = command(
            "run", "acme", "--env", "sandbox", "--root", str(unreachable), **SECRETS | {"CIO_APP_API_KEY": "changeme"}
        )
        refused(ended, "CIO_APP_API_KEY", "placeholder")
        assert "changeme" not in ended.output

    def test_an_unreachable_host_is_named_and_nothing_is_written(self, unreachable: Path) -> None:
        ended = command("run", "acme", "--env", "sandbox", "--root", str(unreachable), **SECRETS)
        assert ended.code in (2, 3)
        assert "http://127.0.0.1:" in ended.output
        assert "Traceback" not in ended.output
        assert not (unreachable / "reports").exists()
        assert not (unreachable / "migrations" / "acme" / "raw").exists()

    def test_a_misspelt_setting_suggests_the_right_one(self, unreachable: Path) -> None:
        path = unreachable / "migrations" / "acme" / "migration.toml"
        path.write_text(path.read_text(encoding="utf-8").replace("chunk_rows", "chunk_row"), encoding="utf-8")
        refused(command("run", "acme", "--env", "sandbox", "--root", str(unreachable), **SECRETS), "chunk_rows")

    def test_production_without_a_sign_off(self, unreachable: Path) -> None:
        refused(
            command("run", "acme", "--env", "production", "--root", str(unreachable), **SECRETS), "production is closed"
        )

    def test_a_notebook_that_does_not_exist_and_a_range_that_is_empty(self, unreachable: Path) -> None:
        base = ("run", "acme", "--env", "sandbox", "--root", str(unreachable))
        refused(command(*base, "--from", "08", **SECRETS), "08")
        refused(command(*base, "--from", "05", "--to", "02", **SECRETS), "comes after")
        refused(command("run", "acme", "--env", "test", "--root", str(unreachable), **SECRETS), "sandbox or production")

    def test_signing_and_confirming_what_is_not_there(self, unreachable: Path) -> None:
        base = ("--root", str(unreachable))
        refused(command("confirm", "acme", "--all", "--by", "Ann", *base), "01_event_schema")
        refused(
            command("sign", "acme", "--role", "owner", "--by", "Ann", "--verdict", "accept", *base),
            "the sandbox is not ready",
        )


PEOPLE = """id,email,created_at,first_name,last_name,plan,unsubscribed
007,ann@acme.example,1700000000,Ann,Lee,pro,
7,bob@acme.example,1700000001,Bob,"O'Neil",basic,true
8,,1700000002,Cleo,Moss,,
9,dan@gmail.com,1700000003,Dan,Ray,too,many,fields
NA,"eve@acme.example",1700000004,Eve,"a
b",pro,
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str], str]]:
    """A root folder, the environment of the simulators, and the sandbox's address."""
    tmp_path = tmp_path_factory.mktemp("files")
    with simulators(tmp_path / "simulators") as ready:
        target = ready["dataverse"]
        environment = {f"DATAVERSE_{k.upper()}": target[k] for k in ("tenant_id", "client_id", "client_secret")}
        environment["DATAVERSE_AUTHORITY"] = target["url"]
        yield tmp_path, environment, target["url"]


def export(folder: Path, people: str = PEOPLE) -> Path:
    """A small export: people as CSV, calls as JSON lines, plain and gzip."""
    folder.mkdir()
    (folder / "people.csv").write_bytes(people.encode())
    calls = [
        {"id": "e1", "received_at": 1700000100, "sent_at": 1700000100, "anonymous_id": "a1", "user_id": "007",
         "event": "order_done", "event_text": "Order Done", "properties": {"total": 12.5}, "context": {}},
        {"id": "e2", "received_at": 1700000200, "sent_at": 1700000200, "anonymous_id": "a9", "user_id": "",
         "event": "page_seen", "event_text": "Page Seen", "properties": {"path": "/x"}, "context": {}},
    ]  # fmt: skip
    (folder / "1.2.1.track.json").write_text(
        "\n".join(json.dumps(c) for c in calls) + '\n{"id": "cut', encoding="utf-8"
    )
    traits = {"name": "Acme Ltd", "domain": "acme.example"}
    group = {"id": "g1", "received_at": 1700000050, "sent_at": 1700000050, "anonymous_id": "", "user_id": "007",
             "group_id": "acme", "objectTypeId": "1", "traits": traits}  # fmt: skip
    (folder / "1.2.1.group.json.gz").write_bytes(gzip.compress(json.dumps(group).encode()))
    return folder


@pytest.mark.notebook
class TestFromFiles:
    def test_a_migration_without_an_api(self, sandbox: tuple[Path, dict[str, str], str]) -> None:
        root, environment, url = sandbox
        base = ("--root", str(root))
        assert command("new", "files", "--dataverse", url, "--files", str(export(root / "export")), *base).code == 0
        first = command("run", "files", "--env", "sandbox", *base, **environment)
        refused(first, "is not confirmed", "cio2d365 confirm files")
        assert command("confirm", "files", "--all", "--by", "Ann", *base).code == 0
        second = command("run", "files", "--env", "sandbox", "--from", "04", *base, **environment)
        assert second.code == 1, second.output
        status = json.loads(command("status", "files", "--json", *base).output)
        assert status["decisions"] == dict.fromkeys(("events", "mapping", "split"), "confirmed")
        run = status["environments"]["sandbox"][-1]
        # three people with an address, one company, one relation, one event of 007 and one of nobody
        assert (run["state"], run["created"], run["quarantined"]) == ("done", 7, 0)
        page = (root / "reports" / "files" / self.runs(root)[0] / "00_audit.html").read_text(encoding="utf-8")
        assert "people.csv row 4 (line 5)" in page
        assert "1.2.1.track.json row 3" in page
        self.undo(root, environment, run)

    def undo(self, root: Path, environment: dict[str, str], run: dict[str, object]) -> None:
        base = ("rollback", "files", "--env", "sandbox", "--run", str(run["run_id"]), "--root", str(root))
        assert "Nothing was changed" in command(*base, **environment).output
        assert command(*base, "--yes", **environment).code == 0
        status = json.loads(command("status", "files", "--json", "--root", str(root)).output)
        assert status["environments"]["sandbox"][-1]["state"] == "rolled back"

    def runs(self, root: Path) -> list[str]:
        return sorted(p.parent.name for p in (root / "reports" / "files").glob("*/manifest.json"))

    def test_an_empty_export_is_one_message(self, sandbox: tuple[Path, dict[str, str], str]) -> None:
        root, environment, url = sandbox
        folder = export(root / "empty", "id,email\n")
        assert command("new", "empty", "--dataverse", url, "--files", str(folder), "--root", str(root)).code == 0
        ended = command("run", "empty", "--env", "sandbox", "--to", "00", "--root", str(root), **environment)
        refused(ended, "no person was found", "nothing was written")
        assert not (root / "migrations" / "empty" / "raw" / "current").exists()

    def test_an_unknown_parameter_is_refused_before_anything_runs(
        self, sandbox: tuple[Path, dict[str, str], str]
    ) -> None:
        root, environment, url = sandbox
        folder = export(root / "typo")
        assert command("new", "typo", "--dataverse", url, "--files", str(folder), "--root", str(root)).code == 0
        ended = command("run", "typo", "--env", "sandbox", "--set", "treshold=3", "--root", str(root), **environment)
        refused(ended, "treshold")
        assert not list((root / "reports").glob("typo/*/*.html"))


def test_help_lists_the_commands_without_a_stack_trace() -> None:
    done = command("--help")
    assert done.code == 0
    for name in ("new", "run", "confirm", "status", "lab", "simulate", "demo", "sign", "rollback", "verify", "params",
                 "connect", "doctor"):  # fmt: skip
        assert name in done.output


@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are not sent on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_says_so_and_can_be_resumed(tmp_path: Path, number: int) -> None:
    """F-53: whatever it waits for, it ends in seconds with the code for "resumable"."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command("new", "acme", "--dataverse", origin, "--customerio", origin, "--root", str(tmp_path))
        running = started("run", "acme", "--env", "sandbox", "--root", str(tmp_path), **SECRETS)
        silent.accept()
        running.send_signal(number)
        output, _ = running.communicate(timeout=10)
    assert (running.returncode, "run the same command again" in " ".join(output.split())) == (3, True), output
