"""Both vendors' HTTP APIs on loopback, so that demo and tests need no tenant."""
