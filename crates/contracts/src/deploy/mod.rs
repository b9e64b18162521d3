//! Deployment of a chain's L1 side, and the chain specification that comes out of it.
//!
//! 1. [`DeploymentPlan::new`] decides everything that can be decided without sending: the order of the deployer's transactions and,
//!    from its nonce, the address of every contract. The contracts name one another in their constructors, in a circle, by these.
//! 2. The caller prepares the sequencers' registrations: a proof of possession names the pool's address.
//! 3. [`execute`] sends, in stages that each wait for the one before: contracts and funds; locks; the first rotation; and, once the
//!    genesis of Layer 2 follows from the committee, `MiningRewards` with its budget, and `Rollup`.
//! 4. The code at every address is held against the artifacts, and the contracts are asked for what a wrong address among them would spoil.
//!
//! Everything signed is in a [`Journal`] before it leaves. Carried out again with the same plan and journal, a deployment finishes what is
//! left and sends nothing twice.

mod bytecode;
mod execute;
mod journal;
mod params;
mod plan;

pub use bytecode::CodeMismatch;
pub use execute::{DeployError, Deployment, STAGE_TIMEOUT, Standing, execute, survey};
pub use journal::{Journal, Signed};
pub use params::{
    ChainParams, Economics, EmissionRule, FeeSplit, Governance, MiningParams, Penalties, Penalty, PoolParams, Preset,
    TokenSource, UnknownPreset,
};
pub use plan::{Contract, DeploymentPlan, PlanError, PlannedContracts, PlannedTransaction, SequencerRegistration};
