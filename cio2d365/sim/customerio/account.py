"""App API: the account around the workspace: control totals, addresses."""

from cio2d365.sim.customerio.call import Call, Endpoint
from cio2d365.sim.customerio.workspace import Json

# TEST-NET-1, 2 and 3: addresses that nobody owns.
ADDRESSES = ("192.0.2.10", "198.51.100.20", "203.0.113.30")


def _workspaces(call: Call) -> Json:
    here = call.workspace
    sent = sum("sent" in delivery.metrics for delivery in here.deliveries)
    row = {
        "id": here.id,
        "name": here.name,
        "messages_sent": sent,
        "billable_messages_sent": sent,
        "people": len(here.people),
        "object_types": len(here.object_types),
        "objects": len(here.things),
    }
    return {"workspaces": [row]}


def _addresses(call: Call) -> Json:
    return {"ip_addresses": list(ADDRESSES)}


ENDPOINTS = (
    Endpoint("GET", "/v1/workspaces", _workspaces),
    Endpoint("GET", "/v1/info/ip_addresses", _addresses),
)
