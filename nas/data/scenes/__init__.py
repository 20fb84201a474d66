"""What generated pictures show: retinal vessels, glands, cells, axons, chests, hippocampi.

Each file draws one kind of scene from a random generator that is passed in. The pictures are
learnable and plausible, not photorealistic; they stand in for data that cannot be shared.
"""
