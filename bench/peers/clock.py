"""Seconds of each update of a trainer of transformers."""

import time

from transformers import TrainerCallback


class Clock(TrainerCallback):
    def __init__(self):
        self.seconds, self.last = [], None

    def on_train_begin(self, *_, **__):
        self.last = time.perf_counter()

    def on_step_end(self, *_, **__):
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now

    def rounds(self, updates):
        """Seconds of each round of so many updates."""
        return [sum(self.seconds[i : i + updates]) for i in range(0, len(self.seconds), updates)]
