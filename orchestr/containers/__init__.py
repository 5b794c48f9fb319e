"""Services in containers, and their rendering as a compose file or a stack file."""
