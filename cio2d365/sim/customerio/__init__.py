"""A Customer.io workspace served over HTTP, written from the vendor's public contract."""

from cio2d365.sim.customerio.app import create_app
from cio2d365.sim.customerio.workspace import Workspace

__all__ = ["Workspace", "create_app"]
