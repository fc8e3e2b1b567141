"""A Customer.io workspace served over HTTP, written from the vendor's public contract.

One origin carries the App API (`/v1/…`, bearer key), the Track API (`/api/v1/…`, `/api/v2/…`, basic auth) and a control
API without key (`/_control/…`, see `control`; fault plans: `faults`; switches: `settings`).

Seen on live workspaces and imitated: attribute values are text; batch rows are not wrapped; unknown ids are
missing without an error; empty lists are null; action ids are text; objects and relationships repeat the last row
of a page on the next one; the activity log and the senders end with an empty page; the log reaches back 30 days; an
identifier with a raw `+` or `@` in the path gets 200 with nothing in it.

Not documented anywhere, chosen here: a `limit` above the maximum is cut to it; anonymous events appear in the log
with all identifiers null; an event or a relationship of an unknown person or object creates it; the download link
of an export is on the same origin under `/v1/_files/`; a month of a metrics series is 30 days. Not served: sending,
campaign triggers, forms, design studio, the UI API.
"""

from cio2d365.sim.customerio.app import create_app
from cio2d365.sim.customerio.workspace import Workspace

__all__ = ["Workspace", "create_app"]
