//! Metrics in Prometheus' text format. [`METRICS`] is the whole list: name, kind, help, and where the number comes from.
//!
//! Names and helps are committed (`tests/snapshots/metrics.txt`), and so are a dashboard and alert rules that speak of them (`packaging/`).

use crate::sample::Sample;
use alloy_primitives::B256;
use oceanid_chain::{CommittedBlock, Histogram, HistogramReading, Ledger};
use oceanid_derive::FollowerStatus;
use oceanid_pool::PoolStatus;
use oceanid_primitives::HeaderExtension;
use oceanid_rpc::WaitCode;
use oceanid_settlement::{KeeperStatus, L1Status, SettlementStatus};
use oceanid_stf::missed_views;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Media type of the consensus library's text.
pub(crate) const CONSENSUS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Wei in one ether.
const ETHER: f64 = 1e18;

/// How a value behaves, in Prometheus' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// A value now. An empty list is a value this node does not have: the metric is named, with its help, and nothing follows.
enum Reading {
    Values(Vec<(Label, f64)>),
    Histogram(HistogramReading),
}

/// Name and value of a label, if there is one.
type Label = Option<(&'static str, String)>;

/// One metric.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&Scrape) -> Reading,
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Scrape) -> Reading) -> Metric {
    Metric { name, kind: Kind::Gauge, help, read }
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Scrape) -> Reading) -> Metric {
    Metric { name, kind: Kind::Counter, help, read }
}

const fn histogram(name: &'static str, help: &'static str, read: fn(&Scrape) -> Reading) -> Metric {
    Metric { name, kind: Kind::Histogram, help, read }
}

fn one(value: impl Number) -> Reading {
    Reading::Values(vec![(None, value.number())])
}

fn some<T: Number>(value: Option<T>) -> Reading {
    Reading::Values(value.map(|value| (None, value.number())).into_iter().collect())
}

/// What can be a value: Prometheus knows only 64-bit floating point.
trait Number {
    fn number(self) -> f64;
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for usize {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for bool {
    fn number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

/// Everything that is measured.
const METRICS: &[Metric] = &[
    gauge("oceanid_info", "Always 1; the label is the program's version.", |_| {
        Reading::Values(vec![(Some(("version", env!("CARGO_PKG_VERSION").to_owned())), 1.0)])
    }),
    gauge("oceanid_sequencer", "1 on a sequencer, 0 on a follower.", |now| one(now.votes.is_some())),
    gauge("oceanid_uptime_seconds", "Seconds since the node started.", |now| one(now.uptime.as_secs())),
    // The chain.
    gauge("oceanid_block_number", "Newest block that is final in the committee and durable here.", |now| one(now.head.number)),
    gauge("oceanid_block_age_seconds", "Seconds since the timestamp of that block.", |now| one(now.age(now.head))),
    gauge("oceanid_safe_block_number", "Newest block whose batch was read back from L1.", |now| one(now.safe.number)),
    gauge("oceanid_safe_lag_blocks", "Blocks between the newest block and the safe one.", |now| one(now.lag(now.safe))),
    gauge("oceanid_safe_age_seconds", "Seconds since the timestamp of the safe block.", |now| one(now.age(now.safe))),
    gauge("oceanid_finalized_block_number", "Newest block under an output that is final on L1.", |now| one(now.finalized.number)),
    gauge("oceanid_finalized_lag_blocks", "Blocks between the newest block and the finalized one.", |now| {
        one(now.lag(now.finalized))
    }),
    gauge("oceanid_finalized_age_seconds", "Seconds since the timestamp of the finalized block.", |now| {
        one(now.age(now.finalized))
    }),
    gauge("oceanid_tip_lag_blocks", "Blocks this node knows of and does not have yet.", |now| {
        one(now.tip.saturating_sub(now.head.number))
    }),
    counter("oceanid_blocks_total", "Blocks committed since start.", |now| one(now.activity.blocks)),
    counter("oceanid_transactions_total", "Transactions in them, deposits included.", |now| one(now.activity.transactions)),
    counter("oceanid_gas_used_total", "Gas used in them.", |now| one(now.activity.gas)),
    histogram(
        "oceanid_finality_seconds",
        "Seconds from a block's timestamp, a whole second, until it was final and durable here.",
        |now| Reading::Histogram(now.finality.clone()),
    ),
    histogram("oceanid_build_seconds", "Seconds that building a block took here.", |now| Reading::Histogram(now.build.clone())),
    counter("oceanid_blocks_built_ahead_total", "Blocks built here while their parent was still being voted on.", |now| {
        one(now.built_ahead)
    }),
    histogram("oceanid_execute_seconds", "Seconds that executing another node's block took here.", |now| {
        Reading::Histogram(now.execute.clone())
    }),
    // The committee.
    gauge("oceanid_epoch", "Epoch of the newest block.", |now| one(now.epoch)),
    gauge("oceanid_view", "View of the newest block.", |now| one(now.view)),
    gauge("oceanid_committee_members", "Members of the committee of the newest block.", |now| one(now.members)),
    gauge("oceanid_voting", "1 while this node votes in the running epoch.", |now| {
        some(now.votes.as_ref().map(|votes| votes.voting))
    }),
    counter(
        "oceanid_missed_slots_total",
        "Slots that any member was drawn for and missed, in the blocks committed since start.",
        |now| one(now.activity.missed),
    ),
    counter("oceanid_missed_slots_here_total", "Slots among them that this node missed.", |now| one(now.activity.missed_here)),
    counter("oceanid_blocks_led_total", "Blocks among those committed since start that this node led.", |now| {
        one(now.activity.led)
    }),
    counter("oceanid_view_timeouts_total", "Views in which this node gave up waiting; begins anew with each epoch.", |now| {
        some(now.sample.view_timeouts)
    }),
    gauge("oceanid_peers", "Sequencers this node is connected to.", |now| some(now.sample.peers)),
    gauge("oceanid_evidence", "Proofs of double voting found by this node, ever.", |now| {
        some(now.votes.as_ref().map(|_| now.evidence))
    }),
    // The pool.
    gauge(
        "oceanid_pool_transactions",
        "Transactions in the pool: pending ones may go into a block now, queued ones wait for another.",
        |now| {
            let label = |state: &str| Some(("state", state.to_owned()));
            Reading::Values(vec![(label("pending"), now.pool.pending.number()), (label("queued"), now.pool.queued.number())])
        },
    ),
    gauge("oceanid_pool_bytes", "Encoded bytes of the transactions in the pool.", |now| one(now.pool.bytes)),
    // L1.
    gauge("oceanid_l1_block_number", "Head of L1 as its endpoint last said.", |now| one(now.l1.head)),
    gauge("oceanid_l1_head_age_seconds", "Seconds since the timestamp of the newest L1 block taken in.", |now| some(now.l1_age)),
    gauge("oceanid_l1_lag_blocks", "L1 blocks that are there and not taken in yet.", |now| one(now.l1.lag())),
    counter("oceanid_l1_reorganised_blocks_total", "L1 blocks that L1 took back since start.", |now| one(now.l1.reorganised)),
    gauge("oceanid_l1_failures", "Failed requests to L1 since the last one that succeeded.", |now| {
        one(u64::from(now.l1.failures))
    }),
    gauge("oceanid_l1_balance_ether", "Ether of the account that pays for this node's L1 transactions.", |now| {
        some(now.balance.map(|wei| wei / ETHER))
    }),
    gauge("oceanid_da_backlog_blocks", "Committed blocks that are not on L1.", |now| {
        some(now.posts().map(|posts| posts.backlog_blocks))
    }),
    gauge("oceanid_da_backlog_bytes", "Bytes of the transactions in them.", |now| {
        some(now.posts().map(|posts| posts.backlog_bytes))
    }),
    gauge("oceanid_da_backlog_full", "1 while so much waits for L1 that blocks take no transactions.", |now| {
        some(now.posts().map(|posts| posts.backlog_full))
    }),
    gauge("oceanid_batch_index", "Index of the newest batch on L1.", |now| some(now.posts().map(|posts| posts.batch))),
    counter("oceanid_batches_posted_total", "Batches this node has posted since start.", |now| {
        some(now.posts().map(|posts| posts.posted_here))
    }),
    counter("oceanid_garbage_postings_total", "Postings whose data was not what was certified, since start.", |now| {
        some(now.posts().map(|posts| posts.garbage).or(now.follower.as_ref().map(|follower| follower.empty)))
    }),
    // What the keeper does on L1 for everybody.
    counter("oceanid_keeper_done_total", "Tasks on L1 that this node's keeper has done since start.", |now| {
        some(now.keeper.as_ref().map(|keeper| keeper.done))
    }),
    counter(
        "oceanid_keeper_refused_total",
        "Transactions of the keeper that L1 mined and refused since start: another node was first.",
        |now| some(now.keeper.as_ref().map(|keeper| keeper.refused)),
    ),
    gauge("oceanid_keeper_due", "Tasks on L1 that are due and that nobody has done.", |now| {
        some(now.keeper.as_ref().map(|keeper| keeper.due.len()))
    }),
    gauge("oceanid_keeper_creditable_epochs", "Epochs whose rewards could be credited now.", |now| {
        some(now.keeper.as_ref().map(|keeper| keeper.creditable_epochs))
    }),
    gauge("oceanid_keeper_pending_evidence", "Proofs of double voting that L1 has not punished yet.", |now| {
        some(now.keeper.as_ref().map(|keeper| keeper.pending_evidence))
    }),
    gauge(
        "oceanid_keeper_chain_stalled",
        "1 when no batch has reached L1 for the stall timeout: the chain may be recovered.",
        |now| some(now.keeper.as_ref().map(|keeper| keeper.stalled)),
    ),
    gauge("oceanid_rewards_runway_seconds", "Seconds that the mining budget lasts at the present rate.", |now| some(now.runway)),
    // The node.
    gauge("oceanid_waiting", "Reasons for not progressing that the node has now; `seq_status` tells them.", |now| {
        one(now.waiting.len())
    }),
    gauge("oceanid_waiting_reason", "1 while the node does not progress for this kind of reason, else 0.", |now| {
        let reading = |code: &WaitCode| (Some(("reason", code.as_str().to_owned())), now.waiting.contains(code).number());
        Reading::Values(WaitCode::ALL.iter().map(reading).collect())
    }),
    gauge("oceanid_clock_skew_seconds", "Seconds this clock seems ahead of L1's, behind is negative; 0 within limits.", |now| {
        one(now.sample.clock_skew as f64)
    }),
    gauge("oceanid_disk_free_bytes", "Free space where the data directory is.", |now| some(now.sample.disk.free)),
    gauge("oceanid_store_bytes", "Bytes on disk.", |now| {
        let label = |part: &str| Some(("part", part.to_owned()));
        Reading::Values(now.sample.store_bytes.iter().map(|(part, bytes)| (label(part), bytes.number())).collect())
    }),
    gauge("oceanid_process_resident_bytes", "Memory of the process that is in RAM.", |now| some(now.sample.resident_bytes)),
];

/// A block's place and time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    pub(crate) number: u64,
    /// Seconds since 1970.
    pub(crate) timestamp: u64,
}

/// What the node knows when it is asked.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// Seconds since 1970.
    pub(crate) now: u64,
    pub(crate) uptime: Duration,
    pub(crate) head: Mark,
    pub(crate) safe: Mark,
    pub(crate) finalized: Mark,
    /// Newest block heard of.
    pub(crate) tip: u64,
    pub(crate) epoch: u64,
    pub(crate) view: u64,
    pub(crate) members: usize,
    pub(crate) activity: ActivityReading,
    pub(crate) finality: HistogramReading,
    pub(crate) build: HistogramReading,
    pub(crate) execute: HistogramReading,
    pub(crate) built_ahead: u64,
    pub(crate) votes: Option<oceanid_sequencer::Status>,
    pub(crate) settlement: Option<SettlementStatus>,
    pub(crate) follower: Option<FollowerStatus>,
    pub(crate) evidence: usize,
    pub(crate) pool: PoolStatus,
    pub(crate) l1: L1Status,
    pub(crate) l1_age: Option<u64>,
    /// Wei.
    pub(crate) balance: Option<f64>,
    pub(crate) keeper: Option<KeeperStatus>,
    /// Seconds; none while nothing is being spent, and before it was read.
    pub(crate) runway: Option<u64>,
    pub(crate) waiting: Vec<WaitCode>,
    pub(crate) sample: Sample,
}

impl Scrape {
    const fn age(&self, mark: Mark) -> u64 {
        self.now.saturating_sub(mark.timestamp)
    }

    const fn lag(&self, mark: Mark) -> u64 {
        self.head.number.saturating_sub(mark.number)
    }

    const fn posts(&self) -> Option<&SettlementStatus> {
        self.settlement.as_ref()
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        let mut out = String::with_capacity(16 << 10);
        for metric in METRICS {
            metric.write(self, &mut out).expect("writing to a string cannot fail");
        }
        out
    }
}

impl Metric {
    fn write(&self, scrape: &Scrape, out: &mut String) -> std::fmt::Result {
        let Self { name, kind, help, read } = self;
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", kind.name())?;
        match read(scrape) {
            Reading::Values(values) => {
                for (label, value) in values {
                    match label {
                        Some((label, text)) => writeln!(out, "{name}{{{label}=\"{}\"}} {value}", escape(&text))?,
                        None => writeln!(out, "{name} {value}")?,
                    }
                }
            }
            Reading::Histogram(reading) => {
                for (bound, count) in reading.buckets {
                    writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}")?;
                }
                let HistogramReading { count, sum, .. } = reading;
                writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}")?;
            }
        }
        Ok(())
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What the blocks committed since start say of work.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    blocks: AtomicU64,
    transactions: AtomicU64,
    gas: AtomicU64,
    missed: AtomicU64,
    missed_here: AtomicU64,
    led: AtomicU64,
    pub(crate) finality: Histogram,
}

/// [`Activity`] at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ActivityReading {
    blocks: u64,
    transactions: u64,
    gas: u64,
    missed: u64,
    missed_here: u64,
    led: u64,
}

impl Activity {
    /// Counts a block that was committed now; `identity` is this node's, if it votes.
    pub(crate) fn count(&self, ledger: &Ledger, block: &CommittedBlock, identity: Option<B256>) {
        let header = block.block.header();
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        add(&self.blocks, 1);
        add(&self.transactions, block.block.body().len() as u64);
        add(&self.gas, header.gas_used);
        let made = UNIX_EPOCH + Duration::from_secs(header.timestamp);
        self.finality.observe(SystemTime::now().duration_since(made).unwrap_or_default());
        let Ok(extension) = HeaderExtension::decode(&header.extra_data) else { return };
        let Ok(committee) = ledger.committee(extension.committee_id) else { return };
        let here = identity.and_then(|identity| committee.index_of(&identity));
        let is_here = |leader: u32| u64::from(here == Some(leader as usize));
        for (_, leader) in missed_views(&committee, &extension) {
            add(&self.missed, 1);
            add(&self.missed_here, is_here(leader));
        }
        add(&self.led, is_here(extension.leader));
    }

    pub(crate) fn read(&self) -> ActivityReading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ActivityReading {
            blocks: get(&self.blocks),
            transactions: get(&self.transactions),
            gas: get(&self.gas),
            missed: get(&self.missed),
            missed_here: get(&self.missed_here),
            led: get(&self.led),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;

    fn repository(file: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
    }

    fn scrape() -> Scrape {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(30));
        Scrape {
            now: 1_000,
            uptime: Duration::from_secs(77),
            head: Mark { number: 90, timestamp: 999 },
            safe: Mark { number: 60, timestamp: 940 },
            finalized: Mark { number: 0, timestamp: 100 },
            tip: 95,
            epoch: 1,
            view: 17,
            members: 4,
            activity: ActivityReading::default(),
            finality: histogram.read(),
            build: histogram.read(),
            execute: histogram.read(),
            built_ahead: 2,
            votes: Some(oceanid_sequencer::Status { voting: true, ..Default::default() }),
            settlement: Some(SettlementStatus { backlog_blocks: 30, ..SettlementStatus::default() }),
            follower: None,
            evidence: 0,
            pool: PoolStatus::default(),
            l1: L1Status::default(),
            l1_age: Some(12),
            balance: Some(1.5e18),
            keeper: Some(KeeperStatus { due: vec!["rotate".to_owned()], ..KeeperStatus::default() }),
            runway: Some(86_400),
            waiting: vec![WaitCode::NoQuorum],
            sample: Sample {
                view_timeouts: Some(3),
                peers: Some(3),
                store_bytes: vec![("chain", 5_000)],
                resident_bytes: Some(1 << 20),
                ..Sample::default()
            },
        }
    }

    #[test]
    fn the_list_is_the_committed_one() {
        let mut list = String::new();
        for Metric { name, kind, help, .. } in METRICS {
            let _ = writeln!(list, "{name} {}\n    {help}", kind.name());
        }
        let file = repository("tests/snapshots/metrics.txt");
        if std::env::var_os("OCEANID_WRITE_SNAPSHOTS").is_some() {
            std::fs::write(&file, &list).expect("the snapshot is written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == list,
            "metrics differ from {}; if that is meant, run this test with OCEANID_WRITE_SNAPSHOTS=1",
            file.display()
        );
    }

    #[test]
    fn names_follow_prometheus_rules() {
        let mut seen = BTreeSet::new();
        for Metric { name, kind, help, .. } in METRICS {
            assert!(seen.insert(name), "{name} twice");
            assert!(
                name.starts_with("oceanid_")
                    && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}: counters and only they end in _total");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}: {help}");
        }
    }

    #[test]
    fn the_text_has_every_value() {
        let text = scrape().render();
        for expected in [
            "# HELP oceanid_block_number Newest block that is final in the committee and durable here.\n# TYPE oceanid_block_number gauge\noceanid_block_number 90\n",
            "\noceanid_safe_lag_blocks 30\n",
            "\noceanid_safe_age_seconds 60\n",
            "\noceanid_tip_lag_blocks 5\n",
            "\noceanid_l1_balance_ether 1.5\n",
            "\noceanid_voting 1\n",
            "\noceanid_keeper_due 1\n",
            "\noceanid_waiting 1\n",
            "\noceanid_waiting_reason{reason=\"no-quorum\"} 1\n",
            "\noceanid_waiting_reason{reason=\"disk-space\"} 0\n",
            "\noceanid_rewards_runway_seconds 86400\n",
            "\noceanid_store_bytes{part=\"chain\"} 5000\n",
            "\noceanid_build_seconds_bucket{le=\"0.02\"} 0\noceanid_build_seconds_bucket{le=\"0.05\"} 1\n",
            "\noceanid_build_seconds_bucket{le=\"+Inf\"} 1\noceanid_build_seconds_sum 0.03\noceanid_build_seconds_count 1\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in:\n{text}");
        }
        let named = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(named, METRICS.len());
    }

    #[test]
    fn a_follower_has_no_values_of_a_sequencer() {
        let text =
            Scrape { votes: None, settlement: None, balance: None, keeper: None, sample: Sample::default(), ..scrape() }.render();
        assert!(text.contains("\noceanid_sequencer 0\n"));
        assert!(!text.contains("\noceanid_voting ") && !text.contains("\noceanid_keeper_due "), "no value is not 0");
    }

    /// Names in a file, without what histograms add.
    fn names_in(file: &str) -> BTreeSet<String> {
        let text = std::fs::read_to_string(repository(file)).expect(file);
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("oceanid_"))
            .map(|word| {
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
                base.filter(|base| METRICS.iter().any(|metric| metric.name == *base)).unwrap_or(word).to_owned()
            })
            .collect()
    }

    #[test]
    fn dashboard_and_alerts_speak_of_metrics_that_exist() {
        let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
        for file in ["packaging/grafana/oceanid.json", "packaging/prometheus/alerts.yml", "docs/observability.md"] {
            let named = names_in(file);
            let missing: Vec<_> = named.difference(&known).collect();
            assert!(missing.is_empty(), "{file} names {missing:?}");
            assert!(named.len() >= 5, "{file} names hardly anything: {named:?}");
        }
        let dashboard = std::fs::read_to_string(repository("packaging/grafana/oceanid.json")).expect("the dashboard");
        let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("the dashboard is JSON");
        let panels = dashboard["panels"].as_array().expect("it has panels");
        assert!(
            panels.iter().all(|panel| panel["title"].is_string() && panel["gridPos"].is_object()),
            "each panel has a title and a place"
        );
    }

    #[test]
    fn alerts_and_guide_know_every_reason() {
        let read = |file: &str| std::fs::read_to_string(repository(file)).expect("a file of the repository");
        let (alerts, guide) = (read("packaging/prometheus/alerts.yml"), read("docs/observability.md"));
        let selected = alerts.split("reason=~\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an alert by reason");
        for reason in selected.split('|') {
            assert!(WaitCode::ALL.iter().any(|code| code.as_str() == reason), "no reason is called {reason}");
        }
        let missing: Vec<_> = WaitCode::ALL.iter().filter(|code| !guide.contains(&format!("| `{}` |", code.as_str()))).collect();
        assert!(missing.is_empty(), "docs/observability.md does not speak of {missing:?}");
    }

    /// Labels of each series in the text a node serves.
    fn served() -> BTreeMap<String, BTreeSet<String>> {
        let mut series = BTreeMap::<String, BTreeSet<String>>::new();
        for line in scrape().render().lines().filter(|line| !line.starts_with('#')) {
            let (key, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = key.split_once('{').unwrap_or((key, ""));
            let labels = labels.trim_end_matches('}').split(',').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
            series.entry(name.to_owned()).or_default().extend(labels);
        }
        series
    }

    /// The series of a query with all labels it speaks of: those it selects by and those it groups by.
    fn asked(query: &str) -> Vec<(String, BTreeSet<String>)> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let names = |text: &str| -> Vec<String> {
            let pairs = text.split(',').map(|pair| pair.split(['=', '!', '~']).next().unwrap_or_default().trim().to_owned());
            pairs.filter(|label| !label.is_empty()).collect()
        };
        let grouped: Vec<String> =
            query.split("by (").skip(1).flat_map(|rest| names(rest.split(')').next().unwrap_or_default())).collect();
        query
            .match_indices("oceanid_")
            .filter(|(at, _)| !query[..*at].ends_with(word))
            .map(|(at, _)| {
                let rest = &query[at..];
                let (name, after) = rest.split_at(rest.find(|c| !word(c)).unwrap_or(rest.len()));
                let selected = after.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
                (name.to_owned(), names(selected).into_iter().chain(grouped.iter().cloned()).collect())
            })
            .collect()
    }

    /// Labels written as `{{part}}` or `{{ $labels.part }}`.
    fn shown(text: &str) -> BTreeSet<String> {
        let inside = text.split("{{").skip(1).filter_map(|rest| Some(rest.split("}}").next()?.trim()));
        inside
            .filter(|inside| !inside.starts_with("$value"))
            .map(|inside| inside.trim_start_matches("$labels.").to_owned())
            .collect()
    }

    /// Every query of the dashboard and of the alerts, with the labels its legend or its text shows.
    fn queries() -> Vec<(String, BTreeSet<String>)> {
        let read = |file: &str| std::fs::read_to_string(repository(file)).expect("a packaged file");
        let dashboard: serde_json::Value = serde_json::from_str(&read("packaging/grafana/oceanid.json")).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let mut queries: Vec<_> = dashboard["panels"]
            .as_array()
            .expect("panels")
            .iter()
            .flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default())
            .map(|target| (text(&target["expr"]), shown(&text(&target["legendFormat"]))))
            .collect();
        let variables = dashboard["templating"]["list"].as_array().cloned().unwrap_or_default();
        let asking = variables.iter().filter(|variable| variable["type"] == "query");
        queries.extend(asking.map(|variable| (text(&variable["query"]["query"]), BTreeSet::new())));
        let alerts = read("packaging/prometheus/alerts.yml");
        queries.extend(alerts.split("- alert:").skip(1).map(|alert| {
            let query = alert.lines().find_map(|line| line.trim().strip_prefix("expr:")).expect("an alert has an expression");
            (query.to_owned(), shown(alert))
        }));
        queries
    }

    #[test]
    fn every_query_reads_series_that_a_node_serves_with_the_labels_it_asks_for() {
        let (served, queries) = (served(), queries());
        assert!(queries.len() > 40, "{} queries", queries.len());
        let prometheus = BTreeSet::from(["instance".to_owned(), "job".to_owned()]);
        for (query, shown) in queries {
            let asked = asked(&query);
            assert!(!asked.is_empty(), "`{query}` reads nothing");
            for (name, labels) in asked {
                let known = served.get(&name).unwrap_or_else(|| panic!("`{query}` reads {name}, which no node serves"));
                let unknown: Vec<_> =
                    labels.union(&shown).filter(|label| !known.contains(*label) && !prometheus.contains(*label)).collect();
                assert!(unknown.is_empty(), "`{query}`: {name} has no label {unknown:?}");
            }
        }
    }

    #[test]
    fn a_query_is_taken_apart_and_a_wrong_one_is_noticed() {
        let found =
            asked("histogram_quantile(0.5, sum by (le) (rate(oceanid_build_seconds_bucket{instance=~\"$i\",part!=\"x\"}[5m])))");
        let labels = ["instance", "le", "part"].map(str::to_owned);
        assert_eq!(found, [("oceanid_build_seconds_bucket".to_owned(), BTreeSet::from(labels))]);
        assert_eq!(shown("{{part}} of {{ $labels.instance }}: {{ $value | humanize }}").len(), 2);
        let served = served();
        assert!(served["oceanid_build_seconds_bucket"].contains("le") && !served.contains_key("oceanid_build_seconds"));
        assert!(served["oceanid_pool_transactions"].contains("state") && served["oceanid_epoch"].is_empty());
    }
}
