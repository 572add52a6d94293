//! Every mistake is found, with its place and a hint.
