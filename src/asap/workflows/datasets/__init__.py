"""Import, export, publish, audit and review pair stores."""
