"""Everything that reads what others wrote, fed with damaged input: an error of the one kind, or an answer.

- ``targets``: each decoder with valid inputs and what must hold of whatever it is given
- ``mutate``: valid inputs damaged, byte by byte and token by token
- ``run``: the long run by hand, in a process of its own whose death is a finding: ``make fuzz``
- ``csv_files``: sound CSV of all kinds, held against Python's ``csv``: ``python -m tests.fuzz.csv_files --files 500``
- ``corpus``: inputs that failed once, or stand for a kind that did
"""
