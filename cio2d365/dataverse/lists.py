"""Members of static marketing lists (`dataverse-api 12`): a list takes rows of one table only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cio2d365.dataverse import batch, requests
from cio2d365.dataverse.addresses import guid
from cio2d365.dataverse.client import Dataverse, refusal
from cio2d365.dataverse.codes import NOT_ON_LIST, WRONG_MEMBER, Class, ServerError, read_error
from cio2d365.dataverse.options import PLAIN, WriteOptions
from cio2d365.errors import Refused, RequestRejected
from cio2d365.outcomes import Refusal
from cio2d365.tables import Table
from cio2d365.transport import Request

TYPE = requests.TYPE
CHUNK = 1000
MEMBER_TABLES = {1: "account", 2: "contact", 4: "lead"}
LIST = Table("list", "lists", "listid", "listname")


def add_request(list_id: str, table: Table, ids: Sequence[str], options: WriteOptions = PLAIN) -> Request:
    """Rows onto a list, all or none. Harmless to repeat: who is on it stays."""
    target = {"@odata.type": f"{TYPE}list", "listid": guid(list_id)}
    members = [{"@odata.type": f"{TYPE}{table.name}", table.primary_id: guid(i)} for i in ids]
    body = {"List": target, "Members": members}
    return requests.post("AddListMembersList", body, repeatable=True, headers=options.headers)


def remove_request(list_id: str, member_id: str, options: WriteOptions = PLAIN) -> Request:
    """One row off a list; refused with 0x80048458 when it is not on it."""
    path = f"lists({guid(list_id)})/{TYPE}RemoveMemberList"
    return requests.post(path, {"EntityId": guid(member_id)}, repeatable=True, headers=options.headers)


def check(client: Dataverse, list_id: str, table: Table) -> None:
    """Refused when the list is dynamic or locked, or takes rows of another table; nothing was sent then."""
    found = client.stored(requests.row(LIST, list_id, ["listname", "createdfromcode", "type", "lockstatus"])).values
    takes = MEMBER_TABLES.get(found.get("createdfromcode") or 0, "nothing that is known here")
    name = f"list {found.get('listname') or list_id}"
    if takes != table.name:
        raise Refused(f"{name} takes members of {takes}, not of {table.name}")
    if found.get("type"):
        raise Refused(f"{name} is dynamic: its query decides who is on it")
    if found.get("lockstatus"):
        raise Refused(f"{name} is locked; unlock it in Dynamics first")


def add(client: Dataverse, list_id: str, table: Table, ids: Iterable[str], *, chunk: int = CHUNK) -> dict[str, Refusal]:
    """Put rows onto a list in requests of `chunk`; those that could not be, each with the server's reason.

    Raises Refused as `check` does, before anything is sent, and RequestRejected when the list turns out to take rows of
    another table.
    """
    check(client, list_id, table)
    members = list(dict.fromkeys(ids))
    refused: dict[str, Refusal] = {}
    for start in range(0, len(members), chunk):
        refused |= _added(client, list_id, table, members[start : start + chunk])
    return refused


def remove(client: Dataverse, list_id: str, ids: Iterable[str]) -> list[str]:
    """Take rows off a list; the ids of those that were not on it. Raises the server's other refusals."""
    members = list(dict.fromkeys(ids))
    absent = []
    answers = batch.send_all(client, (remove_request(list_id, i) for i in members))
    for member, (request, answer) in zip(members, answers, strict=True):
        error = read_error(answer) if answer.status >= 400 else None
        if error and error.code == NOT_ON_LIST:
            absent.append(member)
        elif error:
            raise refusal(request, error)
    return absent


def _added(client: Dataverse, list_id: str, table: Table, members: Sequence[str]) -> dict[str, Refusal]:
    try:
        client.send(add_request(list_id, table, members))
    except RequestRejected as error:
        if error.code == WRONG_MEMBER or not _about_one(error):
            raise
        if len(members) == 1:
            return {members[0]: Refusal(error.code, error.text)}
        middle = len(members) // 2
        first = _added(client, list_id, table, members[:middle])
        return first | _added(client, list_id, table, members[middle:])
    return {}


def _about_one(error: RequestRejected) -> bool:
    """Whether halving can find who is at fault; what is wrong with the request itself is wrong for everybody."""
    cause = ServerError(error.status, error.code, error.text).cause
    return cause in (Class.RECORD, Class.SMALLER, Class.UNKNOWN, Class.EXISTS)
