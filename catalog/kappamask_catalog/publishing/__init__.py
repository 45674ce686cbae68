"""From products to published masks: claimed once, made once, visible at once."""
