"""What an evaluation found, as pictures: one page that needs nothing else to be looked at.

- ``page``: the page; ``charts``: its pictures
- ``svg``: axes, lines, bands, bars and points as SVG
"""
