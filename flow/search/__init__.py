"""Network search: topologies at equal operations, by accuracy and by what they cost on a board."""

from .spec import SearchError, SearchSpec, load_spec
from .study import SearchResult, search
from .trials import TrialRecord

__all__ = ["SearchError", "SearchResult", "SearchSpec", "TrialRecord", "load_spec", "search"]
