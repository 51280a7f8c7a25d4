"""The parts of a training run: images in batches, losses, schedules, measurements, the run folder."""
