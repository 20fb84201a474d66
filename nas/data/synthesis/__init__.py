"""Generated data in the files, names and formats that the owners of public sets hand out.

One file per layout, each with a function ``write(root, cases, seed, ...)``; the table of them is
in `nas.data.synthesis.table`. Readers and recipes are tried on these files, which have the form
of the real ones and none of their patients.
"""
