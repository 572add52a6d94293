//! Deskhand: a self-hosted customer-support agent.

pub mod account;
pub mod article;
pub mod clock;
pub mod failure;
pub mod ids;
pub mod intent;
pub mod money;
pub mod ticket;
pub mod usage;

pub mod policy;
pub mod run;

pub mod journal;

pub mod clients;
pub mod web;

pub mod sim;
