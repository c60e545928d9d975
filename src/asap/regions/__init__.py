"""Where the parts of people are in a photograph: reading the file, landmarkers, segmenters, the user's own masks."""
