"""Masks out of a store and into one: static catalogs, geoparquet, checks, removal."""
