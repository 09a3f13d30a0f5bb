"""What the server keeps on disk: uploaded pictures and their catalogue, and a bounded cache of decoded ones."""
