"""`connect` and `doctor` as a consultant meets them on the first day at a client's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cio2d365.dataverse.metadata import read_table
from cio2d365.demo import simulators
from cio2d365.migrate import provision, schema
from tests.end_to_end.test_demo import Ended, command
from tests.migrate.world import dataverse, nothing

CANARY = "canary-secret-7d1"


@dataclass(frozen=True)
class Systems:
    """Both simulators, a migration between them, and its environment variables."""

    root: Path
    variables: Mapping[str, str]
    control: httpx.Client
    source: httpx.Client

    def run(self, *arguments: str, **other: str) -> Ended:
        return command(*arguments, "--root", str(self.root), **{**self.variables, **other})

    def connect(self, **other: str) -> Ended:
        return self.run("connect", "acme", "--env", "sandbox", **other)

    def fault(self, action: Mapping[str, Any], **match: Any) -> None:
        self.control.post("faults", json=[{"match": match, "action": action}]).raise_for_status()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systems]:
    root = tmp_path_factory.mktemp("connect")
    with simulators(root / "simulators") as ready:
        target, source = ready["dataverse"], ready["customerio"]
        variables = {f"DATAVERSE_{k.upper()}": target[k] for k in ("tenant_id", "client_id", "client_secret")}
        variables |= {"DATAVERSE_AUTHORITY": target["url"], "CIO_APP_API_KEY": source["app_api_key"]}
        made = command("new", "acme", "--dataverse", target["url"], "--customerio", source["app_url"],
                       "--root", str(root))  # fmt: skip
        assert made.code == 0, made.output
        with (
            httpx.Client(base_url=f"{target['control_url']}/", timeout=30) as control,
            httpx.Client(base_url=f"{source['control_url']}/", timeout=30) as other,
        ):
            yield Systems(root, variables, control, other)


@pytest.fixture
def systems(started: Systems) -> Systems:
    """A new organisation; what was noted of the one before is no longer true."""
    started.control.post("reset").raise_for_status()
    shutil.rmtree(started.root / "migrations" / "acme" / "sandbox", ignore_errors=True)
    return started


class TestConnect:
    def test_a_sandbox_in_order(self, systems: Systems) -> None:
        ended = systems.connect()
        assert ended.code == 0, ended.output
        for text in ("Target: contoso, sandbox", "# cio2d365 (application user)", "System Administrator",
                     "that a migration needs are held", "good to know", "can be read"):  # fmt: skip
            assert text in ended.printed
        assert "look here" not in ended.printed
        assert systems.variables["DATAVERSE_CLIENT_SECRET"] not in ended.output
        assert not any(entry["committed"] for entry in systems.control.get("journal").json())

    def test_missing_privileges_are_findings(self, systems: Systems) -> None:
        systems.fault({"verb": "revoke_privilege", "table": "contact", "right": "Create"}, times=1)
        ended = systems.connect()
        assert ended.code == 1, ended.output
        assert "prvCreateContact, to load new rows" in ended.printed
        assert "lacks Create on contact" in ended.printed

    def test_production_in_place_of_a_sandbox_is_refused_on_the_servers_word(self, systems: Systems) -> None:
        systems.control.post("switches", json={"organization_type": "Customer"}).raise_for_status()
        ended = systems.connect()
        assert ended.code == 2, ended.output
        assert (
            "contoso is set as the sandbox, but the server says that it is a production organisation" in ended.printed
        )

    def test_a_run_into_it_is_refused_before_anything_is_sent(self, systems: Systems) -> None:
        systems.control.post("switches", json={"organization_type": "Customer"}).raise_for_status()
        ended = systems.run("run", "acme", "--env", "sandbox", "--from", "04")
        assert ended.code == 2, ended.output
        assert "the server says that it is a production organisation" in " ".join(ended.output.split())
        assert not any(entry["committed"] for entry in systems.control.get("journal").json())

    @pytest.mark.parametrize("variable", ["DATAVERSE_CLIENT_SECRET", "CIO_APP_API_KEY"])
    def test_a_wrong_secret_is_refused_and_not_shown(self, systems: Systems, variable: str) -> None:
        ended = systems.connect(**{variable: CANARY})
        assert ended.code == 2, ended.output
        assert "Traceback" not in ended.output
        assert CANARY not in ended.output


class TestRemoveSchema:
    def test_an_environment_without_our_schema_has_nothing_to_remove(self, systems: Systems) -> None:
        ended = systems.run("remove-schema", "acme", "--env", "sandbox", "--yes")
        assert ended.code == 0, ended.output
        assert not any(entry["committed"] for entry in systems.control.get("journal").json())

    def test_what_we_made_is_shown_and_deleted_on_demand_only(self, systems: Systems) -> None:
        with dataverse(systems.variables["DATAVERSE_AUTHORITY"]) as client:
            provision.apply([schema.event_table(())], client, progress=nothing, sleep=lambda _: None)
            planned = systems.run("remove-schema", "acme", "--env", "sandbox")
            assert planned.code == 0, planned.output
            assert "Nothing was changed; --yes does it." in planned.printed
            assert "cio_event" in planned.printed
            assert read_table(client, "cio_event", fresh=True)
            assert systems.run("remove-schema", "acme", "--env", "sandbox", "--yes").code == 0
            assert read_table(client, "cio_event", fresh=True) is None


class TestDoctor:
    def test_a_migration_whose_systems_answer(self, systems: Systems) -> None:
        ended = systems.run("doctor", "acme")
        assert ended.code == 0, ended.output
        assert "DATAVERSE_CLIENT_SECRET is set" in ended.printed
        assert "lets us in" in ended.printed
        assert not any(v in ended.output for k, v in systems.variables.items() if k.endswith(("SECRET", "KEY")))
