//! The store from outside: against a model, and under kill -9.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod audit;
mod common;
mod crash;
mod fuzz;
mod model;
mod prune;
