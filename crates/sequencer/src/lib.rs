//! The committee: consensus, epochs, building and checking, catch-up.
