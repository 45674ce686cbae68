"""Imported before stac-fastapi, which warns on import that nobody has set its environment.

Its settings are made by `app` from ours; the warning would be of no use to anybody.
"""

import logging

logging.getLogger("stac_fastapi.types.config").setLevel(logging.ERROR)
