"""The only door between rows and numpy."""
