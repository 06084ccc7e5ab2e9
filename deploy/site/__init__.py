"""The docs as a site: ``make docs``. What it shows lies in ``docs/``, how it is ordered in ``zensical.toml``.

__main__   ``python -m deploy.site build|serve``
pages      the pages of the site, gathered in ``build/docs``: those of docs, and files outside it that they link to
redirects  what leads from a page's address in the repository, where alerts link to, to where the site has it
reference  the page about the client, made of docstrings
faults     what is wrong with a site that was built: dead links, pages that the navigation does not name
"""
