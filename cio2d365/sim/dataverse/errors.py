"""Errors of the service, each with the HTTP status, code and wording that the Web API gives them."""

from __future__ import annotations


class ServiceError(Exception):
    """An answer other than success: HTTP `status`, error `code` (hex text, may be empty) and `message`.

    `details` are further annotations of the error, shown when the request asks for annotations.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        details: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.details = details or {}


def payload_error(set_name: str, reason: str) -> ServiceError:
    """A body the OData layer refuses before any row is looked at (unknown property, wrong JSON type)."""
    return ServiceError(
        400,
        "0x80048d19",
        f"Error identified in Payload provided by the user for Entity :'{set_name}', For more information on "
        "this error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  "
        f"InnerException : Microsoft.OData.ODataException: {reason}",
    )


def unknown_segment(name: str) -> ServiceError:
    """No entity set, function or property of that name (yet)."""
    return ServiceError(404, "0x8006088a", f"Resource not found for the segment '{name}'.")


def unknown_property(name: str, table: str) -> ServiceError:
    """A query names a column that the table does not have (yet)."""
    return ServiceError(
        400, "0x0", f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table}'."
    )


def row_missing(table: str, row_id: str) -> ServiceError:
    """Addressed or referenced row does not exist."""
    return ServiceError(404, "0x80040217", f"Entity '{table}' With Id = {row_id} Does Not Exist")


def bad_query(message: str) -> ServiceError:
    """The URL cannot be understood as an OData query."""
    return ServiceError(400, "0x80060888", message)


def malformed(message: str) -> ServiceError:
    """A request that is wrong in itself, with the code that the platform leaves empty in such cases."""
    return ServiceError(400, "0x0", message)


def unexpected(message: str = "An unexpected error occurred.") -> ServiceError:
    """The platform's catch-all."""
    return ServiceError(400, "0x80040216", message)


def duplicate_primary_key() -> ServiceError:
    """A create with an id that is taken (dataverse-api 18)."""
    return ServiceError(412, "0x80040237", "Cannot insert duplicate key.")


def duplicate_key(key_name: str, columns: str) -> ServiceError:
    """A write would break the uniqueness of an alternate key (dataverse-api 10)."""
    return ServiceError(
        412,
        "0x80060892",
        f"Entity Key {key_name} violated. A record with the same value for {columns} already exists. "
        "A duplicate record cannot be created. Select one or more unique values and try again.",
    )


def throttled(code: str, message: str, retry_after: float) -> ServiceError:
    """A service protection answer, status 429 with Retry-After in whole seconds (dataverse-api 8.1)."""
    return ServiceError(429, code, message, {"Retry-After": str(max(1, round(retry_after)))})
