"""What is made of one photo beside its `.sdz`: figures, stand-ins, what its page shows of regions and of the exact pixels."""
