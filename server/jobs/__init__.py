"""Jobs on pictures, done in child processes: what a job is (`pictures`), the child (`worker`), its parent's side (`processes`) and what
they say to each other (`messages`)."""
