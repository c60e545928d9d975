"""A local page on which people accept or refuse pairs. Knows no store: it is given pairs and a journal."""
