"""`make pictures`: every picture of the README and the docs, from the current pack; the demo's site is built already."""

from docs.pictures import demo, ladder, viewer

if __name__ == "__main__":
    for one in (ladder, demo, viewer):
        one.main()
