"""Every way of adapting a model that an arm can name: a file a method, and one row of METHODS."""

from neatlab.adapters.methods.base import AdapterFiles, Method
from neatlab.adapters.methods.table import METHODS

__all__ = ["METHODS", "AdapterFiles", "Method"]
