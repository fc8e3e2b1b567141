import subprocess
import sys
from pathlib import Path

import pytest

from cio2d365.run.process import follow, last_step

LINE = '{"step": "Loading", "done": 1200, "total": 5000, "note": "contacts"}\n'


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("", ""),
        ("a warning\n", ""),
        (LINE, "Loading 1,200 of 5,000 contacts"),
        (LINE + "a warning\n[1]\n", "Loading 1,200 of 5,000 contacts"),
        (LINE + '{"step": "Loa', "Loading 1,200 of 5,000 contacts"),
        ("x" * 10_000 + "\n" + LINE, "Loading 1,200 of 5,000 contacts"),
    ],
)
def test_the_last_step_is_found_among_other_lines(tmp_path: Path, text: str, step: str) -> None:
    log = tmp_path / "a.log"
    log.write_text(text)
    assert last_step(log) == step


def test_a_process_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    assert follow(child, 0.0, tmp_path / "a.log", lambda step: None) is False
    assert child.poll() is not None


def test_a_process_is_stopped_when_following_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINE)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])

    def interrupt(step: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(child, 60, tmp_path / "a.log", interrupt)
    assert child.poll() is not None
