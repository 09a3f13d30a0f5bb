"""Photos to a static site: library, photos, pages, and what is remembered between builds."""
