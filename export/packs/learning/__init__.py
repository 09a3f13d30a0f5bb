"""What a pack's coder tables are learned by: the order of passes, starting states and mixing weights."""
