//! `bench l1-cost`: what an epoch costs on L1 in gas, beside the published flow of Metis, at the same price of gas and the same pace.
//!
//! Our side is the committed gas snapshots of `contracts/snapshots/gas`. The other side was measured with forge on the public sources: state roots by
//! `MVM_StateCommitmentChain.appendStateBatchByChainId` (MetisProtocol/mvm, 79c1236) with the 212 roots of half an hour, rewards by
//! `LockingPool.batchSubmitRewards` (MetisProtocol/metis-sequencer-contract, bf427d0) for nine sequencers, solc 0.8.24, 800 runs, warm.
//! Both sides post the same data in blobs from one transaction per half hour; the blobs themselves are left out, and so are
//! what the other side does on Layer 2 (epoch commits) and off chain (threshold signatures).

use eyre::{OptionExt, WrapErr};
use serde_json::Value;
use std::path::Path;

/// Blocks of an epoch, seconds of a block (the original's average since March 2024), seconds between postings.
const EPOCH_BLOCKS: f64 = 1_000.0;
const BLOCK_SECONDS: f64 = 8.5;
const POSTING_SECONDS: f64 = 1_800.0;
/// Seconds between our rotations (preset `metis`).
const ROTATION_SECONDS: f64 = 86_400.0;
/// Epochs that one credit takes on.
const CREDITED_AT_ONCE: f64 = 4.0;
/// Gas of a transaction that carries blobs to an inbox without code.
const INBOX_GAS: f64 = 21_000.0;
/// Gas of the state roots of half an hour, and of one payment of rewards.
const METIS_ROOTS_GAS: f64 = 356_227.0;
const METIS_REWARDS_GAS: f64 = 174_406.0;
/// Seconds between two payments of rewards: 191 batches in 663 days.
const METIS_REWARDS_SECONDS: f64 = 663.0 * 86_400.0 / 191.0;

pub(crate) fn run() -> eyre::Result<()> {
    let epoch = EPOCH_BLOCKS * BLOCK_SECONDS;
    let postings = epoch / POSTING_SECONDS;
    let metis = [
        ("batches (inbox)", postings * INBOX_GAS),
        ("state roots", postings * METIS_ROOTS_GAS),
        ("rewards", epoch / METIS_REWARDS_SECONDS * METIS_REWARDS_GAS),
    ];
    let ours = [
        ("batches with certificate and output", postings * gas("submitBatch", "016 members, all present")?),
        ("rewards, proven", gas("mining", "credit, 016 members, 4 epochs at once")? / CREDITED_AT_ONCE),
        (
            "rotation and seal",
            epoch / ROTATION_SECONDS * (gas("rotation", "016 members, 4 join")? + gas("rotation", "016 members, seal")?),
        ),
        (
            "fees: prove, pay, split",
            (gas("portal", "proveWithdrawalTransaction, one trie node")?
                + gas("portal", "finalizeWithdrawalTransaction, no call")?
                + gas("mining", "settle")?)
                / CREDITED_AT_ONCE,
        ),
    ];
    println!(
        "\nAn epoch of {EPOCH_BLOCKS} blocks at {BLOCK_SECONDS} s, postings every {} minutes; gas on L1, blobs apart.\n",
        POSTING_SECONDS / 60.0
    );
    println!("| side | part | gas an epoch |\n|---|---|---|");
    let (metis, ours) = (table("Metis, 9 sequencers", &metis), table("Oceanid, 16 sequencers", &ours));
    println!("\n| ours / Metis |\n|---|\n| {:.2} |", ours / metis);
    Ok(())
}

/// Prints the parts and their sum; returns the sum.
fn table(side: &str, parts: &[(&str, f64)]) -> f64 {
    for (part, gas) in parts {
        println!("| {side} | {part} | {gas:.0} |");
    }
    let sum = parts.iter().map(|(_, gas)| gas).sum();
    println!("| {side} | **all** | {sum:.0} |");
    sum
}

/// A figure of a committed snapshot.
fn gas(file: &str, key: &str) -> eyre::Result<f64> {
    let path = Path::new("contracts/snapshots/gas").join(format!("{file}.json"));
    let text =
        std::fs::read_to_string(&path).wrap_err_with(|| format!("{}: run this from the repository's root", path.display()))?;
    let snapshot: Value = serde_json::from_str(&text).wrap_err_with(|| path.display().to_string())?;
    let figure = snapshot[key].as_str().ok_or_eyre(format!("{}: no `{key}`", path.display()))?;
    figure.parse().wrap_err_with(|| format!("{}: `{key}` is `{figure}`, not a number", path.display()))
}
