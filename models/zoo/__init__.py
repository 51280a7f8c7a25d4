"""The zoo: trained networks that come with the package, as packed bits, each with a card that says what it is."""

from .card import Accuracy, Card, NetworkFacts, TestSet, card_text, read_card
from .entries import SHIPPED, Entry, names, open_entry, write_entry
from .images import digest_of, load_test_set
from .pack import ZooError, pack, unpack

__all__ = [
    "SHIPPED",
    "Accuracy",
    "Card",
    "Entry",
    "NetworkFacts",
    "TestSet",
    "ZooError",
    "card_text",
    "digest_of",
    "load_test_set",
    "names",
    "open_entry",
    "pack",
    "read_card",
    "unpack",
    "write_entry",
]
