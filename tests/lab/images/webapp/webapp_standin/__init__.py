"""A stand-in for the user's own business service, for the lab only: tokens out, webhooks in."""
