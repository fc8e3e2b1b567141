"""What a Customer.io workspace holds: people, objects, relationships, activities, deliveries, segments, content.

The values are the ones that were sent (typed); how the API shows them (strings) is the business of the endpoints.
Content that the API only passes through (campaigns, templates, topics …) is kept in the shape of the API.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

ACTIVITY_DAYS = 30


@dataclass(frozen=True, slots=True)
class Clock:
    """The workspace's idea of now, in unix seconds; `fixed` None means the real clock."""

    fixed: int | None = None

    def now(self) -> int:
        """Unix seconds."""
        return int(time.time()) if self.fixed is None else self.fixed


@dataclass(slots=True)
class Person:
    """A profile. `attributes` are as sent, identifiers included; `changed` only holds later changes."""

    cio_id: str
    id: str | None
    email: str | None
    attributes: Json
    created_in_cio_at: int
    changed: dict[str, int] = field(default_factory=dict)
    devices: list[Json] = field(default_factory=list)

    def identifiers(self) -> dict[str, str | None]:
        """The block that every answer about a person carries; a missing identifier is null."""
        return {"cio_id": self.cio_id, "email": self.email, "id": self.id}

    @property
    def unsubscribed(self) -> bool:
        """`true`, any spelling of "true", 1 and "1" count, nothing else (customerio-api 3.4)."""
        return str(self.attributes.get("unsubscribed", "")).lower() in ("true", "1")


@dataclass(slots=True)
class Thing:
    """An object of a custom object type, such as a company."""

    type_id: str
    object_id: str
    cio_object_id: str
    attributes: Json
    created_at: int
    changed: dict[str, int] = field(default_factory=dict)

    def identifiers(self) -> dict[str, str]:
        """Identifiers of an object."""
        return {"object_id": self.object_id, "cio_object_id": self.cio_object_id}


@dataclass(slots=True)
class Relationship:
    """A person's tie to an object, with attributes of its own."""

    cio_id: str
    cio_object_id: str
    attributes: Json
    created_at: int


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of the activity log.

    `cio_id` is None for an anonymous event. The last four fields matter only to the raw call files: the id that the
    sender gave the call (None: it gave none), whether the call named the person, when it was received, and how many
    more times it was delivered.
    """

    id: str
    type: str
    timestamp: int
    cio_id: str | None
    name: str | None = None
    url: str | None = None
    data: Json = field(default_factory=dict)
    anonymous_id: str | None = None
    delivery_id: str | None = None
    delivery_type: str | None = None
    message_id: str | None = None
    names_person: bool = True
    received_at: int | None = None
    redelivered: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to one person. `metrics` holds the reached ones: name → unix seconds (or a count)."""

    id: str
    type: str
    cio_id: str | None
    recipient: str | None
    subject: str | None
    created: int
    metrics: dict[str, int]
    campaign_id: int | None = None
    action_id: int | None = None
    newsletter_id: int | None = None
    content_id: int | None = None
    broadcast_id: int | None = None
    transactional_message_id: int | None = None
    trigger_event_id: str | None = None
    failure_message: str | None = None
    forgotten: bool = False
    draft: bool = False


@dataclass(slots=True)
class Segment:
    """A segment; `members` (cio_ids) is used by manual ones, `conditions` by dynamic ones."""

    id: int
    name: str
    type: str
    created_at: int
    updated_at: int
    description: str = ""
    conditions: Json | None = None
    shows_conditions: bool = True
    members: dict[str, None] = field(default_factory=dict)
    tags: list[str] | None = None
    state: str = "finished"


@dataclass(frozen=True, slots=True)
class Departed:
    """What is left of a deleted person: identifiers, for the raw call files only."""

    cio_id: str
    id: str | None
    email: str | None
    deleted_at: int
    suppressed: bool = False


@dataclass
class Workspace:
    """One workspace. Everything that changes people, objects or activities goes through its methods."""

    id: int
    name: str
    clock: Clock = field(default_factory=Clock)
    people: dict[str, Person] = field(default_factory=dict)
    departed: dict[str, Departed] = field(default_factory=dict)
    suppressed: set[str] = field(default_factory=set)
    object_types: list[Json] = field(default_factory=list)
    things: dict[str, Thing] = field(default_factory=dict)
    activities: list[Activity] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    segments: dict[int, Segment] = field(default_factory=dict)
    content: dict[str, list[Json]] = field(default_factory=dict)
    files_until: int | None = None
    version: int = 0
    minted: int = 0
    cache: dict[str, Any] = field(default_factory=dict, repr=False)
    _by_id: dict[str, str] = field(default_factory=dict, repr=False)
    _by_email: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _by_key: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    _activity_ids: set[str] = field(default_factory=set, repr=False)
    _ties: dict[tuple[str, str], Relationship] = field(default_factory=dict, repr=False)
    _of_person: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict), repr=False)
    _of_thing: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict), repr=False)

    def mint(self) -> int:
        """A number that was not given out before."""
        self.minted += 1
        return self.minted

    def add_person(self, person: Person) -> None:
        """Store a new person; the id must be free."""
        self.people[person.cio_id] = person
        self._remember_identifiers(person)

    def identify(self, person: Person, *, id: str | None, email: str | None) -> None:
        """Give a person other identifiers."""
        self._forget_identifiers(person)
        person.id, person.email = id, email
        self._remember_identifiers(person)

    def _remember_identifiers(self, person: Person) -> None:
        if person.id is not None:
            self._by_id[person.id] = person.cio_id
        if person.email is not None:
            self._by_email.setdefault(person.email.lower(), []).append(person.cio_id)
        self.version += 1

    def _forget_identifiers(self, person: Person) -> None:
        if person.id is not None:
            self._by_id.pop(person.id, None)
        if person.email is not None:
            same = self._by_email.get(person.email.lower(), [])
            same.remove(person.cio_id)

    def remove_person(self, person: Person, *, at: int, suppressed: bool = False) -> None:
        """Delete a person with relationships and memberships; suppression also blocks the identifiers."""
        self._forget_identifiers(person)
        del self.people[person.cio_id]
        for cio_object_id in list(self._of_person[person.cio_id]):
            self.untie(person.cio_id, cio_object_id)
        for segment in self.segments.values():
            segment.members.pop(person.cio_id, None)
        self.departed[person.cio_id] = Departed(person.cio_id, person.id, person.email, at, suppressed)
        self.version += 1

    def with_id(self, id: str) -> Person | None:
        """The person with this id; ids are compared byte for byte."""
        cio_id = self._by_id.get(id)
        return None if cio_id is None else self.people[cio_id]

    def with_email(self, email: str) -> list[Person]:
        """People with this address, the oldest first; case does not matter."""
        return [self.people[cio_id] for cio_id in self._by_email.get(email.lower(), [])]

    def add_thing(self, thing: Thing) -> None:
        """Store a new object."""
        self.things[thing.cio_object_id] = thing
        self._by_key[thing.type_id, thing.object_id] = thing.cio_object_id
        self.version += 1

    def remove_thing(self, thing: Thing) -> None:
        """Delete an object and its relationships."""
        for cio_id in list(self._of_thing[thing.cio_object_id]):
            self.untie(cio_id, thing.cio_object_id)
        del self.things[thing.cio_object_id], self._by_key[thing.type_id, thing.object_id]
        self.version += 1

    def thing(self, type_id: str, object_id: str) -> Thing | None:
        """The object of a type with this object_id."""
        cio_object_id = self._by_key.get((type_id, object_id))
        return None if cio_object_id is None else self.things[cio_object_id]

    def tie(self, relationship: Relationship) -> None:
        """Create or replace a relationship."""
        person, thing = relationship.cio_id, relationship.cio_object_id
        self._ties[person, thing] = relationship
        self._of_person[person][thing] = None
        self._of_thing[thing][person] = None
        self.version += 1

    def untie(self, cio_id: str, cio_object_id: str) -> None:
        """Remove a relationship, if there is one."""
        if self._ties.pop((cio_id, cio_object_id), None) is not None:
            del self._of_person[cio_id][cio_object_id], self._of_thing[cio_object_id][cio_id]
            self.version += 1

    def tie_between(self, cio_id: str, cio_object_id: str) -> Relationship | None:
        """The relationship of a person and an object."""
        return self._ties.get((cio_id, cio_object_id))

    def ties(self) -> Iterable[Relationship]:
        """All relationships, in the order of their creation."""
        return self._ties.values()

    def ties_of_person(self, cio_id: str) -> Iterator[Relationship]:
        """A person's relationships."""
        return (self._ties[cio_id, thing] for thing in self._of_person.get(cio_id, ()))

    def ties_of_thing(self, cio_object_id: str) -> Iterator[Relationship]:
        """An object's relationships."""
        return (self._ties[person, cio_object_id] for person in self._of_thing.get(cio_object_id, ()))

    def record(self, activity: Activity) -> None:
        """Append to the activity log."""
        self.activities.append(activity)
        self._activity_ids.add(activity.id)
        self.version += 1

    def has_activity(self, id: str) -> bool:
        """Whether the log has an activity with this id."""
        return id in self._activity_ids

    def type_enabled(self, type_id: str) -> bool:
        """Whether an object type is switched on; False for an unknown one."""
        return any(kind["id"] == type_id and kind["enabled"] for kind in self.object_types)
