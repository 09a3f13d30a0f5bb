"""Plain pages: an existing static site whose pictures become `<sdz-img>`, with its own files as their fallback."""
