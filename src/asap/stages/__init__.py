"""One short file for each arrow of the data flow; only stages open stores and read configs."""
