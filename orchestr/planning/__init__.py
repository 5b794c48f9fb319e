"""From an inventory and roles to tasks."""
