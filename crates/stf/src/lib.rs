//! The state transition function.
#![cfg_attr(not(feature = "std"), no_std)]
