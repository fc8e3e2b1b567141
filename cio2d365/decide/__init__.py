"""Deciding, as pure functions: what the source holds, which type and column each field gets, who becomes what.

- `json_scan`: JSON texts → one row per key, values as written in the source
- `evidence`: counts of value types per key, and the column kind that holds all of them
- `event_profile`, `traits`: the profiles; `events`: which event properties become columns
- `mapping`: which field goes to which column; `values`: one column's values in the form Dataverse takes
- `emails`, `split`, `collisions`: who is who, and who becomes a Contact or a Lead
"""
