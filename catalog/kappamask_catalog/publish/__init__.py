"""Results: rasters, items and pictures, complete or not there."""
