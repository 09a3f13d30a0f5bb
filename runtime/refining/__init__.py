"""Encoder effort: better integers for the same decoder. `refiner` has it."""
