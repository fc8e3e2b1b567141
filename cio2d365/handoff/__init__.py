"""What cannot be moved, written down for the person who rebuilds it."""
