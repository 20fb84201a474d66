"""What segmenter and discriminator play: one game per file, as losses of both on a batch."""
