//! `pipeline`: a validator's work on a block (recover senders, execute, roots, log and sync) through the ledger, beside the same parts
//! done bare, each on its own.
//!
//! Two ledgers hold the same chain. On the first the bare parts are timed, then it builds the next block; the second checks and
//! commits that block. So both sides meet each block with the same state and equally cold caches.

use crate::evm::{bare_loop, tx_env};
use crate::report::{Cost, count, measure, median, ms, ratio, row, table};
use crate::world::{Accounts, BLOCK, StillL1, in_parallel, spec};
use alloy_primitives::Address;
use oceanid_chain::{BuildLimits, ConsensusContext, Ledger, LedgerConfig};
use oceanid_primitives::{ChainSpec, HeaderExtension, SealedBlock, TxEnvelope};
use oceanid_stf::{BlockExecutor, l2_env, logs_bloom, receipts_root, transactions_root};
use oceanid_trie::update_state_root;
use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, mpsc};

/// Blocks measured one by one.
const SINGLE: usize = 12;
/// Blocks of the run without pause.
const RUN: usize = 24;
/// What the prototype without a network made, transactions a second on two cores.
const PROTOTYPE_RATE: f64 = 26_000.0;
/// Bytes of a block that are not its transactions, at most.
const MAX_BLOCK_BYTES: usize = 4 << 20;

/// Medians of one number of accounts.
struct Figures {
    accounts: usize,
    parts: [(&'static str, Cost); PARTS],
    check: Cost,
    commit: Cost,
    flush: Cost,
    run: Cost,
}

const PARTS: usize = 5;

pub(crate) fn run(accounts: &[usize]) -> eyre::Result<()> {
    let figures = accounts.iter().map(|accounts| one(*accounts)).collect::<eyre::Result<Vec<_>>>()?;
    let transactions = BLOCK.transfers + BLOCK.token_transfers;
    table(
        &format!("A block of {} transactions, ms, median of {SINGLE} blocks. Target: 0.8.", count(transactions)),
        &["accounts", "what", "wall", "CPU", "sum of parts / this, wall", "CPU"],
    );
    for figures in &figures {
        let line = |name: &str, cost: Cost, ratios: [String; 2]| {
            let [wall, cpu] = ratios;
            row(&[count(figures.accounts), name.into(), ms(cost.wall), ms(cost.cpu), wall, cpu]);
        };
        let mut sum = Cost::default();
        for (name, cost) in figures.parts {
            line(name, cost, Default::default());
            sum += cost;
        }
        line("**sum of the bare parts**", sum, Default::default());
        let all = figures.check + figures.commit;
        line("`Ledger::check`", figures.check, Default::default());
        line("`Ledger::commit`", figures.commit, Default::default());
        line("**check and commit**", all, [ratio(sum.wall, all.wall), ratio(sum.cpu, all.cpu)]);
        line("flush of that block alone, in the background", figures.flush, Default::default());
    }
    table(
        &format!(
            "{RUN} such blocks without pause: senders of the next block are recovered beside check and commit; the store flushes."
        ),
        &["accounts", "tx/s", "CPU, us a tx", "to the prototype's 26,000 tx/s"],
    );
    for figures in &figures {
        let total = (RUN * transactions) as f64;
        let rate = total / figures.run.wall.as_secs_f64();
        row(&[
            count(figures.accounts),
            count(rate as usize),
            format!("{:.0}", figures.run.cpu.as_secs_f64() * 1e6 / total),
            format!("{:.2}", rate / PROTOTYPE_RATE),
        ]);
    }
    Ok(())
}

fn open(dir: &Path, spec: &Arc<ChainSpec>) -> eyre::Result<Ledger> {
    let mut config = LedgerConfig::default();
    // One segment, so that its growth is the size of a record.
    config.store.log_segment_bytes = 4 << 30;
    Ok(Ledger::open(dir, spec.clone(), config)?)
}

fn one(number: usize) -> eyre::Result<Figures> {
    let accounts = Accounts::new(number);
    let spec = spec(&accounts.addresses, 1, 500)?;
    let mut blocks = accounts.blocks(SINGLE + RUN).into_iter();
    eprintln!("two ledgers with {} accounts", count(number));
    let directory = tempfile::tempdir()?;
    let builder = open(&directory.path().join("builder"), &spec)?;
    let checker = open(&directory.path().join("checker"), &spec)?;
    let mut bare_log = File::create(directory.path().join("bare.log"))?;

    let mut parts: [Vec<Cost>; PARTS] = Default::default();
    let (mut check, mut commit, mut flush) = (Vec::new(), Vec::new(), Vec::new());
    for transactions in blocks.by_ref().take(SINGLE) {
        let costs = bare_parts(&builder, &spec, &transactions)?;
        let block = build(&builder, transactions)?;
        builder.store().flush()?;

        let now = block.header().timestamp;
        let (checked, cost) = measure(|| checker.check(&block, &StillL1, now));
        checked?;
        check.push(cost);
        let before = log_bytes(&directory.path().join("checker"))?;
        let (committed, cost) = measure(|| checker.commit(&block, None));
        committed?;
        commit.push(cost);
        let record = vec![0x5a; log_bytes(&directory.path().join("checker"))? - before];
        let (flushed, cost) = measure(|| checker.store().flush());
        flushed?;
        flush.push(cost);

        let (logged, cost) = measure(|| bare_log.write_all(&record).and_then(|()| bare_log.sync_data()));
        logged?;
        for (part, cost) in parts.iter_mut().zip(costs.into_iter().chain([cost])) {
            part.push(cost);
        }
    }
    let next = blocks.map(|transactions| build(&builder, transactions)).collect::<eyre::Result<Vec<_>>>()?;
    drop(builder);
    let run = without_pause(&checker, &next)?;
    let names = [
        "recover senders, all cores",
        "bare revm loop over the store",
        "state root over the store",
        "transactions root, receipts root, bloom",
        "append the record to a file, `fdatasync`",
    ];
    let [a, b, c, d, e] = parts.map(|costs| median(&costs));
    Ok(Figures {
        accounts: number,
        parts: [(names[0], a), (names[1], b), (names[2], c), (names[3], d), (names[4], e)],
        check: median(&check),
        commit: median(&commit),
        flush: median(&flush),
        run,
    })
}

/// All parts but the log, on the state at the ledger's head.
fn bare_parts(ledger: &Ledger, spec: &ChainSpec, transactions: &[(TxEnvelope, Address)]) -> eyre::Result<[Cost; PARTS - 1]> {
    let body: Vec<TxEnvelope> = transactions.iter().map(|(tx, _)| tx.clone()).collect();
    let (senders, recover) = measure(|| in_parallel(&body, |tx| tx.recover_sender()));
    let senders = senders.into_iter().collect::<Result<Vec<_>, _>>()?;

    let parent = ledger.head();
    let extension = HeaderExtension::decode(&parent.header().extra_data)?;
    let env = l2_env(spec, parent.header(), parent.hash(), parent.header().timestamp + 1, &extension);
    let view = ledger.view();
    let envs: Vec<_> = body.iter().zip(&senders).map(|(tx, sender)| tx_env(tx, *sender)).collect();
    let (gas_used, execute) = measure(|| bare_loop(&view, &env, &envs));

    let mut executor = BlockExecutor::new(ledger.rules(), spec.chain_id, env, &view)?;
    for (tx, sender) in body.iter().zip(&senders) {
        executor.execute(tx, *sender)?;
    }
    let output = executor.finish();
    eyre::ensure!(output.gas_used == gas_used, "the bare loop and the state transition use different gas");
    let (root, state_root) =
        measure(|| Ok::<_, eyre::Report>(update_state_root(&view.trie()?, view.state_root(), &output.diff.hashed())?.0));
    black_box(root?);
    let (_, roots) = measure(|| {
        black_box((transactions_root(&body), receipts_root(&output.receipts), logs_bloom(&output.receipts)));
    });
    Ok([recover, execute, state_root, roots])
}

/// Builds the next block from transactions whose senders are known, and commits it.
fn build(ledger: &Ledger, transactions: Vec<(TxEnvelope, Address)>) -> eyre::Result<Arc<SealedBlock>> {
    let expected = transactions.len();
    let parent = ledger.head();
    let view = parent.number() + 1;
    let context = ConsensusContext { epoch: 0, view, parent_view: parent.number(), leader: 0 };
    let mut source: VecDeque<_> = transactions.into_iter().map(|(tx, sender)| (Arc::new(tx), sender)).collect();
    let limits = BuildLimits { max_bytes: MAX_BLOCK_BYTES };
    let block = ledger.build(parent.hash(), context, parent.header().timestamp + 1, &StillL1, &mut source, limits)?;
    eyre::ensure!(block.body().len() == expected, "the builder took {} of {expected} transactions", block.body().len());
    ledger.commit(&block, None)?;
    Ok(block)
}

/// Checks and commits `blocks`, the senders of the next one being recovered meanwhile, as the pool does in a node.
fn without_pause(ledger: &Ledger, blocks: &[Arc<SealedBlock>]) -> eyre::Result<Cost> {
    ledger.store().flush()?;
    let (result, cost) = measure(|| {
        std::thread::scope(|scope| {
            let (ready, recovered) = mpsc::sync_channel(1);
            scope.spawn(move || {
                for block in blocks {
                    let senders = in_parallel(block.body(), |tx| tx.recover_sender().map(|sender| (*tx.hash(), sender)));
                    for (hash, sender) in senders.into_iter().flatten() {
                        ledger.senders().remember(hash, sender);
                    }
                    if ready.send(block).is_err() {
                        return; // the other side failed, and says why
                    }
                }
            });
            for block in recovered {
                ledger.check(block, &StillL1, block.header().timestamp)?;
                ledger.commit(block, None)?;
            }
            Ok::<_, eyre::Report>(())
        })
    });
    result.map(|()| cost)
}

/// Bytes of a ledger's write-ahead log.
fn log_bytes(dir: &Path) -> eyre::Result<usize> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir.join("log"))? {
        bytes += entry?.metadata()?.len() as usize;
    }
    Ok(bytes)
}
