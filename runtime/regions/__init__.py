"""Regions: parts of a photo that its file sends more, or less, precisely than the rest."""
