"""The collections of masks: their documents, and how masks of one acquisition belong together."""
