"""A Starlette application for built sites and folders of .sdz files: ranges, prefixes, pictures for clients that cannot decode, uploads.

It may read `runtime`, never `export`.
"""
