"""Request limits: a sliding window over arrival times (customerio-api 2.1)."""

from collections import deque
from dataclasses import dataclass, field

# A client that sends exactly every 100 ms is not at fault when the network brings two of its requests closer together.
JITTER = 0.05


@dataclass
class Window:
    """Admits at most `limit` requests in any `seconds`; refused ones do not count. A limit of 0 admits all."""

    limit: int
    seconds: float = 1.0
    admitted: deque[float] = field(default_factory=deque)

    def admits(self, arrived: float) -> bool:
        """Count a request that arrived at this monotonic time, in seconds, or refuse it."""
        while self.admitted and self.admitted[0] <= arrived - self.seconds + JITTER:
            self.admitted.popleft()
        if self.limit and len(self.admitted) >= self.limit:
            return False
        self.admitted.append(arrived)
        return True
