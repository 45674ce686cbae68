"""Variants of a network in another arithmetic: 8-bit numbers for CPUs, half floats for GPUs."""

from kappamask_udf.variants.half import convert_to_half
from kappamask_udf.variants.quantise import quantise

__all__ = ["convert_to_half", "quantise"]
