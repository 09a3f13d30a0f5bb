"""Training, distillation, export and site building: everything that needs torch. Reads `runtime`, never the other way."""

PROGRAM = "sdz"
"""What usage and errors call the program."""
