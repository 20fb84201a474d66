"""Work on a CPU that is recorded once and replayed without Python's share of it."""
