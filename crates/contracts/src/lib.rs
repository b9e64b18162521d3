//! Bindings and artifacts of the Solidity contracts, and the deployment plan.
