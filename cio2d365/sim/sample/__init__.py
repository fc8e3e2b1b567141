"""The sample workspace: seeded, the same in every process, awkward where real data are (README.md)."""

from cio2d365.sim.sample.build import empty_workspace, sample_workspace
from cio2d365.sim.sample.files import write_files

__all__ = ["empty_workspace", "sample_workspace", "write_files"]
