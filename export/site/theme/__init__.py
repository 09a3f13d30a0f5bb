"""What a site looks like and which language it speaks."""
