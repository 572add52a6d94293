//! One binary for all tests that need the house to stand: `harness` builds it, one module per part of the walk.

mod direction;
mod harness;
mod model;
mod walk;
