"""DynamicsWebApi, the JavaScript library that most web resources of Dynamics use, told as one story in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("dynamics_web_api.cjs")


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["node", *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_definitions_rows_queries_and_batches(origin: str) -> None:
    if shutil.which("node") is None or node("-e", "require.resolve('dynamics-web-api')").returncode:
        pytest.skip("Node or its package dynamics-web-api (found through NODE_PATH) is not installed")
    ran = node(str(SCRIPT), origin)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "changed column": 80,
        "relationship": "cio_contact_event",
        "choice": 1,
        "csdl": True,
        "created": "Ann Bell",
        "only create": None,
        "only update": None,
        "stale": False,
        "linked": 2,
        "unlinked": 1,
        "expanded": ["Deep"],
        "too long": {"status": 400, "code": "0x80044331"},
        "all pages": 25,
        "count": 4,
        "total": [25],
        "groups": [["n0", 13], ["n1", 12]],
        "fetched": 25,
        "long query": 25,
        "tracked": True,
        "batch": ["string", "string", "object"],
        "going on": 1,
    }
