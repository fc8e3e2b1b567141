"""`$metadata`: the whole schema as CSDL."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from .context import Answer, Context
from .schema import Column, Table

_EDM = {
    "Integer": "Edm.Int32",
    "BigInt": "Edm.Int64",
    "Decimal": "Edm.Decimal",
    "Money": "Edm.Decimal",
    "Double": "Edm.Double",
    "Boolean": "Edm.Boolean",
    "Picklist": "Edm.Int32",
    "State": "Edm.Int32",
    "Status": "Edm.Int32",
    "Uniqueidentifier": "Edm.Guid",
    "Image": "Edm.Binary",
}
_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
    '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
)
_TAIL = "</Schema></edmx:DataServices></edmx:Edmx>"
_BASE = '<EntityType Name="crmbaseentity" Abstract="true" />'


def metadata_document(context: Context) -> Answer:
    """The CSDL of all visible tables."""
    tables = [table for table in context.org.schema.tables.values() if context.org.visible(table)]
    parts = [_HEAD, _BASE, *(_entity(context, table) for table in tables), *_container(context, tables), _TAIL]
    return Answer(200, "".join(parts).encode(), {"Content-Type": "application/xml"})


def edm_type(column: Column) -> str:
    """The OData type of a column's property."""
    if column.is_lookup:
        return "Edm.Guid"
    if column.type == "DateTime":
        return "Edm.Date" if column.behavior == "DateOnly" else "Edm.DateTimeOffset"
    return _EDM.get(column.type, "Edm.String")


def _entity(context: Context, table: Table) -> str:
    shown = context.org.visible(table) or table
    return (
        f'<EntityType Name={quoteattr(table.name)} BaseType="mscrm.crmbaseentity">'
        f"<Key><PropertyRef Name={quoteattr(table.primary_id)} /></Key>"
        + "".join(_property(column) for column in shown.columns.values() if column.stored)
        + "".join(_navigations(context, shown))
        + "</EntityType>"
    )


def _property(column: Column) -> str:
    return f'<Property Name={quoteattr(column.property_name)} Type="{edm_type(column)}" />'


def _navigations(context: Context, table: Table) -> Iterator[str]:
    seen: set[str] = set()
    for column in table.columns.values():
        for target, name in column.navigation.items():
            if column.stored and name not in seen and target in context.org.schema.tables:
                seen.add(name)
                kind = "principal" if name == "ownerid" else target
                yield f'<NavigationProperty Name={quoteattr(name)} Type="mscrm.{kind}" Nullable="true" />'
    for name, side in context.org.schema.sides_of(table.name):
        if name not in seen:
            seen.add(name)
            yield f'<NavigationProperty Name={quoteattr(name)} Type="Collection(mscrm.{side.other})" />'
    for relationship in context.org.schema.children_of(table.name):
        name = relationship.parent_navigation
        if name not in seen:
            seen.add(name)
            yield f'<NavigationProperty Name={quoteattr(name)} Type="Collection(mscrm.{relationship.child})" />'


def _container(context: Context, tables: list[Table]) -> Iterator[str]:
    yield '<EntityType Name="principal" BaseType="mscrm.crmbaseentity" /><EntityContainer Name="System">'
    for table in tables:
        yield f'<EntitySet Name={quoteattr(table.set_name)} EntityType="Microsoft.Dynamics.CRM.{table.name}" />'
    yield "</EntityContainer>"
