"""From one inventory to another, and back."""
