"""The engine of a run: sessions with agents, batches and barriers, the failure budget, the journal."""
