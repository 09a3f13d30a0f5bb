"""Image files before they are pixels: which files are pictures, how large ones are read small, which colours they mean."""
