"""The upper functions of a pack: what its coder knows of them."""
