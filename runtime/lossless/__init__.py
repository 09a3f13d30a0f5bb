"""The lossless tail: the exact pixels of a photo, behind its latents."""
