"""The generator behind the phantom: a chest, the rays through it, the film."""
