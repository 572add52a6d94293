//! One binary for all tests that need the house to stand: `harness` builds it, one module per part of the walk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod aside;
mod brakes;
mod coverage;
mod direction;
mod effects;
mod harness;
mod intake;
mod line;
mod lost;
mod model;
mod people;
mod restored;
mod shadow;
mod simulation;
mod waiting;
mod walk;
