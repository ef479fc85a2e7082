"""The API of what was planned: runs, their plans and their setpoints."""
