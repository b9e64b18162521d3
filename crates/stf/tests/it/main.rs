//! Tests of the state transition function through its public interface.
#![allow(clippy::unwrap_used)]

mod asm;
mod calls;
mod deposits;
mod differential;
mod epochs;
mod ethereum;
mod fees;
mod headers;
mod native;
mod support;
