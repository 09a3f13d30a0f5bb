"""Packs of other autoencoders: calibrated on photos, traced to ONNX, approximate unless distilled."""
