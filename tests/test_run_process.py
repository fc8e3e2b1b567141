from pathlib import Path

import pytest

from cio2d365.run.process import last_step

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
