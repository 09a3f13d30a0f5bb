"""Decoding for the viewer, without Qt: what window and worker tell each other (`messages`), a file on its way to pixels (`picture`),
and the thread (`worker`).
"""
