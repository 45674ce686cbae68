"""CQL2 filters as SQL, the same in every store; how a database writes it is its dialect."""

from kappamask_catalog.store.cql.compiler import compile_filter

__all__ = ["compile_filter"]
