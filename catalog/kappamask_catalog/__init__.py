"""STAC: products in, mask items and rasters out."""
