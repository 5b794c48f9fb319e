"""An application's way from a compose project to a stack or back, and its services stopped while data moves."""
