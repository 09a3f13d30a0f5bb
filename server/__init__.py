"""A Starlette application for built sites and folders of .sdz files: ranges, prefixes, decoded pictures for clients that cannot decode, and
uploads.

It may import `runtime`, never `export`.
"""
