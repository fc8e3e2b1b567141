"""Refusals of the simulated API."""


class ApiError(Exception):
    """An answer with `{"errors": [{"detail", "status"}]}`; `status` is the HTTP status (customerio-api 2.3)."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


class TrackError(Exception):
    """A refusal of the Track API; `errors` is the list of v2, `field: message` lines are joined for v1."""

    def __init__(self, status: int, reason: str, field: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.field = field
        self.message = message

    def as_json(self) -> dict[str, str]:
        """One entry of the v2 error list."""
        return {"reason": self.reason, "field": self.field, "message": self.message}


class EmptyResult(Exception):
    """The identifier in the path was not percent-encoded: the vendor answers 200 with nothing in it."""
