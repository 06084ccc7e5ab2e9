"""The status pages of worker and trainer: what a person on call wants at a glance. Reads; decides and changes nothing.

What the pages are drawn of is in ``assets`` (HTML, CSS, JavaScript), served by ``files``; what they say is put in words
and figures here and goes to them as JSON.

- ``state``: the first sentence of a worker's page; ``trainer``: that of a trainer's, with its document
- ``history``: the last hour in samples of ten seconds
- ``showcase``: published statements, a sample of them; ``lowest``: the users and items that were weighed down most,
  by ``heavy_hitters``; ``statement``: one statement with its weight explained
- ``models``: what is in force, since when and why, and what was refused
"""
