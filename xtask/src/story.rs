//! `cargo xtask story`: the life of sequencers over real processes, told with the public command line and RPC only.
//!
//! Four sequencers run. A fifth makes keys, is examined, locks, is queued, gets a seat, leads, earns, claims, relocks, and takes stake out.
//! One of the four signs two votes in one view and is slashed. Another goes silent, is jailed and comes back. Two go silent for good, the
//! chain halts, and the newest committee takes over. Last, the fifth leaves and is paid. Every step says what was seen; a difference ends
//! the story with an error.

mod cast;

use crate::network::{PATIENCE, wait_for};
use cast::{Cast, whole};
use eyre::{OptionExt, WrapErr, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Instant;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The binary under test.
    #[arg(long)]
    oceanid: PathBuf,
}

/// Pace: seconds where a chain has days, blocks enough that everybody leads in an epoch.
const PACE: [&str; 17] = [
    "--processes",
    "--block-time",
    "250ms",
    "--heartbeat",
    "400ms",
    "--epoch-length",
    "20",
    "--rotation-interval",
    "6s",
    "--unbonding-period",
    "25s",
    "--jail-period",
    "5s",
    "--stall-timeout",
    "15s",
    "--challenge-window",
    "4s",
];
/// Stake of the newcomer, whole tokens, and what it takes out again.
const LOCK: u64 = 25_000;
const DECREASE: u64 = 3_000;
/// Stake of each development sequencer, and what an equivocation costs: the larger of 5% and 1,000.
const DEV_LOCK: u64 = 20_000;
const PENALTY: u64 = 1_000;
/// Deposit made while the chain stands still.
const DEPOSIT: u64 = 7;

/// The narrator: numbers the steps and says when.
struct Narrator {
    started: Instant,
    steps: u32,
}

impl Narrator {
    fn tell(&mut self, seen: &str) {
        self.steps += 1;
        println!("{:>6.1} s  {:>2}. {seen}", self.started.elapsed().as_secs_f64(), self.steps);
    }
}

pub(crate) async fn run(args: Args) -> eyre::Result<()> {
    let mut narrator = Narrator { started: Instant::now(), steps: 0 };
    let mut cast = Cast::start(&args.oceanid, &PACE).await?;
    narrator.tell(&format!("four sequencers make blocks: {}", cast.head().await?));
    joins(&mut cast, &mut narrator).await.wrap_err("the newcomer")?;
    slashed(&mut cast, &mut narrator).await.wrap_err("the equivocator")?;
    jailed(&mut cast, &mut narrator).await.wrap_err("the silent one")?;
    recovers(&mut cast, &mut narrator).await.wrap_err("the halt")?;
    leaves(&mut cast, &mut narrator).await.wrap_err("the leaver")?;
    println!("{} steps passed, 0 failed", narrator.steps);
    Ok(())
}

/// Wei of whole tokens, as the command line's JSON has them.
fn wei(tokens: u64) -> u128 {
    u128::from(tokens) * 1_000_000_000_000_000_000
}

fn amount(value: &Value) -> eyre::Result<u128> {
    value.as_str().unwrap_or_default().parse().wrap_err_with(|| format!("not an amount: {value}"))
}

/// Keys, doctor, lock, queue, seat, blocks, rewards, claims, decrease.
async fn joins(cast: &mut Cast, narrator: &mut Narrator) -> eyre::Result<()> {
    let keys = cast.newcomer(&["keys", "new"])?;
    let (owner, poster) = (cast::address(&keys["owner"])?, cast::address(&keys["poster"])?);
    narrator.tell(&format!("a fifth makes keys: identity {}", keys["identity"].as_str().unwrap_or_default()));
    cast.endow(owner, poster, LOCK + 1_000).await?;
    cast.start_newcomer()?;
    wait_for("the newcomer to catch up from L1", PATIENCE, async || {
        let node = cast.newcomer_node()?.call("seq_status", serde_json::json!([])).await?;
        Ok(node["role"] == "follower" && node["head"].as_u64() > Some(0))
    })
    .await?;
    let report = cast.newcomer(&["doctor"])?;
    ensure!(report["ok"] == true, "doctor: {report}");
    let checks = report["checks"].as_array().ok_or_eyre("doctor has no checks")?;
    narrator.tell(&format!("its node follows L1, and doctor finds nothing that fails in {} checks", checks.len()));

    let planned = cast.newcomer(&["lock", &LOCK.to_string(), "--dry-run"])?;
    ensure!(planned["dryRun"] == true && planned["transactions"].as_array().is_some_and(|list| list.len() == 2), "{planned}");
    let refused = cast.refused(&["lock", "19999", "--dry-run"])?;
    ensure!(refused.contains("LockOutOfRange: the lock would be 19999, must be 20000 to 100000"), "{refused}");
    let locked = cast.newcomer(&["lock", &LOCK.to_string(), "--yes"])?;
    let id = locked["result"]["id"].as_u64().ok_or_eyre("lock gives no id")?;
    let status = cast.status(id)?;
    ensure!(status["status"] == "queued" || status["status"] == "active", "after lock: {status}");
    narrator.tell(&format!("it locks {LOCK} as sequencer {id} and is {}", status["status"].as_str().unwrap_or_default()));

    wait_for("a rotation to seat the newcomer", PATIENCE, async || {
        let status = cast.status(id)?;
        Ok(status["status"] == "active" && status["seated"] == true)
    })
    .await?;
    narrator.tell("a rotation makes it active and gives it a seat in the newest committee");
    wait_for("the newcomer to vote", PATIENCE, async || {
        let node = cast.newcomer_node()?.call("seq_status", serde_json::json!([])).await?;
        Ok(node["role"] == "sequencer" && node["consensus"]["voting"] == true)
    })
    .await?;
    narrator.tell("the hand-over reaches its node, which joins consensus and votes");

    let mut led = 0;
    wait_for("the newcomer to be credited", 2 * PATIENCE, async || {
        let rewards = cast.newcomer(&["rewards"])?;
        led = rewards["epochs"].as_array().map_or(0, |epochs| epochs.iter().filter_map(|epoch| epoch["led"].as_u64()).sum());
        Ok(led > 0 && amount(&rewards["claimable"])? > 0)
    })
    .await?;
    let rewards = cast.newcomer(&["rewards"])?;
    let apr = rewards["apr"].as_f64().unwrap_or_default();
    ensure!((1.0..=21.0).contains(&apr), "realised APR of {apr}%");
    narrator.tell(&format!("it led {led} blocks; L1 credits {} at an APR of {apr:.2}%", whole(amount(&rewards["claimable"])?)));

    let before = cast.l2_balance(owner).await?;
    let claimed = cast.newcomer(&["rewards", "claim", "--to", "l2", "--yes"])?;
    let claimed = amount(&claimed["result"]["amount"])?;
    wait_for("the claim to arrive on L2", PATIENCE, async || Ok(cast.l2_balance(owner).await? == before + claimed)).await?;
    narrator.tell(&format!("it claims {} to L2, where they arrive to the wei", whole(claimed)));

    wait_for("more credits", PATIENCE, async || Ok(amount(&cast.newcomer(&["rewards"])?["claimable"])? > 0)).await?;
    let relocked = cast.newcomer(&["rewards", "claim", "--to", "relock", "--yes"])?;
    let relocked = amount(&relocked["result"]["amount"])?;
    ensure!(amount(&cast.status(id)?["lock"])? == wei(LOCK) + relocked, "the lock did not grow by the relocked credit");
    narrator.tell(&format!("it relocks {}: the lock is {}", whole(relocked), whole(wei(LOCK) + relocked)));

    cast.newcomer(&["decrease", &DECREASE.to_string(), "--yes"])?;
    let status = cast.status(id)?;
    let tickets = status["tickets"].as_array().ok_or_eyre("status has no tickets")?;
    ensure!(tickets.len() == 1 && amount(&tickets[0]["amount"])? == wei(DECREASE), "after decrease: {status}");
    ensure!(amount(&status["lock"])? == wei(LOCK - DECREASE) + relocked, "after decrease: {status}");
    let early = cast.refused(&["claim", "--yes"])?;
    ensure!(early.contains("no ticket of sequencer") && early.contains("can be claimed in"), "{early}");
    narrator.tell(&format!("it takes {DECREASE} out; the ticket is refused before its time: {early}"));
    Ok(())
}

/// Equivocation, proof, penalty, removal.
async fn slashed(cast: &mut Cast, narrator: &mut Narrator) -> eyre::Result<()> {
    let culprit = cast.dev_sequencer(3)?;
    ensure!(amount(&cast.status(culprit.id)?["lock"])? == wei(DEV_LOCK), "the culprit's lock");
    cast.equivocate(&culprit)?;
    narrator.tell(&format!("sequencer {} begins to sign two votes in one view", culprit.id));
    wait_for("an honest node to prove it on L1", 2 * PATIENCE, async || Ok(cast.status(culprit.id)?["status"] != "active"))
        .await?;
    narrator.tell("an honest node proves it to the Slasher without help");
    wait_for("the culprit to leave at a rotation", PATIENCE, async || {
        let status = cast.status(culprit.id)?;
        Ok(status["status"] == "gone" && status["seated"] == false)
    })
    .await?;
    let status = cast.status(culprit.id)?;
    let tickets = status["tickets"].as_array().ok_or_eyre("status has no tickets")?;
    ensure!(tickets.len() == 1, "the culprit's tickets: {status}");
    let left = amount(&tickets[0]["amount"])?;
    ensure!(left == wei(DEV_LOCK - PENALTY), "the ticket is over {}, not {}", whole(left), DEV_LOCK - PENALTY);
    narrator.tell(&format!("it leaves at the next rotation; its ticket is over {}: {PENALTY} less than its lock", whole(left)));
    cast.wait_for_committee_without(culprit.id).await
}

/// Downtime, jail, return.
async fn jailed(cast: &mut Cast, narrator: &mut Narrator) -> eyre::Result<()> {
    let silent = cast.dev_sequencer(2)?;
    cast.signal(&silent, Signal::SIGSTOP)?;
    let head = cast.head().await?;
    wait_for("blocks without one member", PATIENCE, async || Ok(cast.head().await? >= head + 5)).await?;
    narrator.tell(&format!("sequencer {} is silent; blocks go on", silent.id));
    wait_for("the silent one to be jailed", 2 * PATIENCE, async || Ok(cast.status(silent.id)?["status"] == "jailed")).await?;
    let rewards = cast.rewards_of(silent.id)?;
    let epochs = rewards["epochs"].as_array().ok_or_eyre("rewards has no epochs")?;
    // Share = stake x led / (led + missed): nothing for an epoch in which it only missed.
    let idle =
        epochs.iter().find(|epoch| epoch["led"] == 0 && epoch["missed"].as_u64() > Some(0) && epoch["credited"].is_string());
    let idle = idle.ok_or_eyre("no credited epoch in which it only missed")?;
    ensure!(amount(&idle["credited"])? == 0, "paid for an epoch without work: {idle}");
    narrator.tell(&format!("epoch {} pays it nothing, and it is jailed", idle["epoch"]));

    cast.signal(&silent, Signal::SIGCONT)?;
    wait_for("the jail to open", PATIENCE, async || Ok(cast.owner_of(&silent, &["unjail", "--yes"]).is_ok())).await?;
    narrator.tell("its node runs again, and the owner says unjail");
    wait_for("a rotation to seat it again", PATIENCE, async || {
        let status = cast.status(silent.id)?;
        Ok(status["status"] == "active" && status["seated"] == true)
    })
    .await?;
    wait_for("it to vote again", 2 * PATIENCE, async || {
        let node = silent.node.call("seq_status", serde_json::json!([])).await?;
        Ok(node["role"] == "sequencer" && node["consensus"]["voting"] == true)
    })
    .await?;
    narrator.tell("it is active again, its node has caught up and votes");
    Ok(())
}

/// More than a third offline, halt, recovery.
async fn recovers(cast: &mut Cast, narrator: &mut Narrator) -> eyre::Result<()> {
    let lost = [cast.dev_sequencer(1)?, cast.dev_sequencer(2)?];
    for sequencer in &lost {
        cast.signal(sequencer, Signal::SIGSTOP)?;
    }
    let before = cast.recoveries().await?;
    let halted = cast.halt().await?;
    // What the others posted goes on from here: nothing that is final may be missing from L1.
    wait_for("the last blocks to be posted", PATIENCE, async || Ok(cast.safe().await? >= halted)).await?;
    let finals = cast.hashes(halted).await?;
    narrator
        .tell(&format!("sequencers {} and {} are silent for good; the chain stands at block {halted}", lost[0].id, lost[1].id));
    let recipient = cast.deposit(DEPOSIT).await?;
    for sequencer in &lost {
        cast.owner_of(sequencer, &["exit", "--yes"])?;
    }
    narrator.tell("a deposit is made meanwhile, and the owners of the two leave the pool on L1");
    wait_for("a committee without the two", PATIENCE, async || {
        Ok(lost
            .iter()
            .map(|lost| cast.status(lost.id))
            .collect::<eyre::Result<Vec<_>>>()?
            .iter()
            .all(|lost| lost["seated"] == false))
    })
    .await?;
    // Nobody calls by hand: it is a duty of the nodes that are left.
    wait_for("a node to recover the chain", 2 * PATIENCE, async || Ok(cast.recoveries().await? > before)).await?;
    wait_for("blocks of the new committee", 2 * PATIENCE, async || Ok(cast.head().await? >= halted + 3)).await?;
    let now = cast.hashes(halted).await?;
    ensure!(now == finals, "a final block changed over the recovery");
    narrator.tell(&format!(
        "a node calls recover(), which hands the chain on; it grows again, and all {} final blocks are as they were",
        finals.len()
    ));
    wait_for("the deposit to arrive", PATIENCE, async || Ok(cast.l2_balance(recipient).await? == wei(DEPOSIT))).await?;
    narrator.tell(&format!("the deposit of {DEPOSIT} made during the halt has arrived"));
    Ok(())
}

/// Exit, and tickets paid after their time.
async fn leaves(cast: &mut Cast, narrator: &mut Narrator) -> eyre::Result<()> {
    let id = cast.newcomer_id()?;
    let owner = cast.newcomer_owner()?;
    let lock = amount(&cast.status(id)?["lock"])?;
    // What was credited on the way is claimed by now or stays: only tickets pay out below.
    cast.newcomer(&["exit", "--yes"])?;
    wait_for("the newcomer to leave at a rotation", PATIENCE, async || Ok(cast.status(id)?["status"] == "gone")).await?;
    let status = cast.status(id)?;
    let tickets = status["tickets"].as_array().ok_or_eyre("status has no tickets")?;
    let last = tickets.last().ok_or_eyre("no ticket after the exit")?;
    ensure!(amount(&last["amount"])? == lock, "the exit's ticket: {status}");
    let number = last["number"].as_u64().ok_or_eyre("a ticket without a number")?.to_string();
    let refused = cast.refused(&["claim", &number, "--yes"])?;
    ensure!(refused.contains("StillUnbonding"), "{refused}");
    narrator.tell(&format!("the fifth leaves at a rotation with a ticket over {}; L1 refuses to pay it now", whole(lock)));

    let owed: u128 = tickets.iter().map(|ticket| amount(&ticket["amount"])).sum::<eyre::Result<u128>>()?;
    let before = cast.l1_tokens(owner).await?;
    wait_for("all tickets to be paid", PATIENCE, async || {
        // Refused until something is due.
        let _ = cast.newcomer(&["claim", "--yes"]);
        Ok(cast.status(id)?["tickets"].as_array().is_some_and(Vec::is_empty))
    })
    .await?;
    let paid = cast.l1_tokens(owner).await? - before;
    ensure!(paid == owed, "{} were paid, {} owed", whole(paid), whole(owed));
    narrator.tell(&format!("after their time all tickets are paid: {}", whole(paid)));
    Ok(())
}
