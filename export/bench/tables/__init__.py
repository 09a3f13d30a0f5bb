"""Commands that compare files of one kind beside others, and print Markdown; `bench` measures the whole codec."""
