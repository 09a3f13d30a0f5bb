"""Reading and writing .sdz images. The modules are flat and named for what they hold; `decode` and `encode` are the way in."""
