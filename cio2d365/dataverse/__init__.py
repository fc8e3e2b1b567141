"""The target: requests as values, sending, bulk messages and metadata of the Dataverse Web API v9.2."""
