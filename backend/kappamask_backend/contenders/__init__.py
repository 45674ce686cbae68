"""Contenders of `kappamask benchmark network`, each run in a process of its own."""
