//! What a world does over time, and that its ledger brings it back.
