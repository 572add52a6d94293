//! Deskhand: a self-hosted customer-support agent. A ticket walks through the house: intake → run → steps → effects → reply.
//!
//! The modules below stand in reading order. Words are what everyone speaks; `policy` and `run` decide and do no IO;
//! `journal` keeps; `clients`, `knowledge`, `tools` and `agent` act; `intake`, `agent` and `web` are the three doors, which
//! never call each other and meet in the journal. `sim` and `demo` stand apart.

// Words.
pub mod account;
pub mod article;
pub mod breaker;
pub mod clock;
pub mod crash;
pub mod failure;
pub mod health;
pub mod ids;
pub mod intent;
pub mod limiter;
pub mod money;
pub mod ticket;
pub mod usage;

// Deciding.
pub mod policy;
pub mod run;

// Keeping.
pub mod journal;

// Acting.
pub mod agent;
pub mod clients;
pub mod knowledge;
pub mod tools;

// Doors.
pub mod intake;
pub mod web;

// Starting.
pub mod app;
pub mod config;
pub mod init;
pub mod keep;
pub mod pause;
pub mod serve;
pub mod telemetry;

// Standing apart.
pub mod crashtest;
pub mod demo;
pub mod sim;
