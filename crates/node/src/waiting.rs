//! Why a node does not progress: every reason, with a code for alerts and a remedy for people, from what the node's parts say of themselves.
//!
//! [`reasons`] is pure. The same list is served by `seq_status`, counted in the metrics, and told in the log by [`narrate`]: once when a reason has
//! lasted, again at growing intervals, and once when it is over.

use crate::status::Status;
use oceanid_derive::FollowerStatus;
use oceanid_rpc::{NodeStatus, WaitCode, Waiting};
use oceanid_settlement::{L1Status, SettlementStatus, Telling};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Connections are made and lost; a committee that is out of reach for less than this is no reason.
const PEER_PATIENCE: Duration = Duration::from_secs(10);
/// Free space below which the store may soon be unable to write, bytes.
pub(crate) const MIN_FREE: u64 = 1 << 30;
/// L1's newest block may be this far ahead of this clock, seconds: L1's own clocks agree within a second, polling takes the rest.
const MAX_BEHIND: i64 = 10;
/// L1 blocks may be this old when they are first seen, seconds: five slots of Ethereum.
const MAX_AHEAD: i64 = 60;
/// Newest L1 blocks over which the clock is judged.
const SIGHTINGS: usize = 8;
/// As many must have been seen before a clock is called fast: blocks that are found at start are old.
const ENOUGH_SIGHTINGS: usize = 4;

/// A reason for waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: WaitCode,
    pub(crate) text: String,
    pub(crate) remedy: &'static str,
}

/// What the node's parts say, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) l1: L1Status,
    /// What consensus says; none of a follower.
    pub(crate) votes: Option<oceanid_sequencer::Status>,
    /// What the batcher says; none of a follower.
    pub(crate) posts: Option<SettlementStatus>,
    /// What the follower says; none of a sequencer.
    pub(crate) follower: Option<FollowerStatus>,
    /// Connected sequencers, if that is known, and since when they are too few.
    pub(crate) peers: Option<usize>,
    pub(crate) lonely_for: Duration,
    /// Members whose votes make a certificate.
    pub(crate) quorum: usize,
    /// Seconds by which this clock differs from L1's, ahead is positive; 0 while it is within limits.
    pub(crate) clock_skew: i64,
    pub(crate) disk: Disk,
}

/// How the disk under the data directory does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Bytes that are free, if the system tells.
    pub(crate) free: Option<u64>,
    /// Why the last durable write failed, if it did.
    pub(crate) failure: Option<String>,
}

/// Every reason there is now; each code at most once.
pub(crate) fn reasons(facts: &Facts) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |code, text: String, remedy| reasons.push(Reason { code, text, remedy });
    let Facts { l1, votes, posts, follower, peers, lonely_for, quorum, clock_skew, disk } = facts;
    if let Some(error) = &l1.last_error {
        let text = format!("L1 cannot be followed ({} failures in a row): {error}", l1.failures);
        add(WaitCode::L1Unreachable, text, "check the L1 endpoint in `l1.http`, and that the L1 node is running");
    }
    if let Some(full) = &l1.waiting {
        add(WaitCode::L1WindowFull, full.clone(), "bring the committee back: L1 is taken in as Layer 2 makes blocks");
    }
    match clock_skew {
        0 => {}
        ahead if *ahead > 0 => add(
            WaitCode::ClockSkew,
            format!("L1's blocks are {ahead} s old when they are first seen: this clock is fast, or the L1 endpoint is behind"),
            "run an NTP client; if the clock is right, wait for the L1 node to synchronise, or use another",
        ),
        behind => add(
            WaitCode::ClockSkew,
            format!("L1's newest block is {} s in the future: this clock is slow", behind.unsigned_abs()),
            "run an NTP client: blocks that seem to come from the future are not voted for",
        ),
    }
    if let Some(votes) = votes {
        if let Some(failure) = &votes.failure {
            let remedy = "restart the node; if it fails again, its log says which file or block is at fault";
            add(WaitCode::ConsensusStopped, failure.clone(), remedy);
        }
        if let Some(waiting) = &votes.waiting {
            let (code, remedy) = if waiting.heard < waiting.quorum {
                (WaitCode::NoQuorum, "the members named must come back; L1 can recover the chain under a newer committee")
            } else {
                (WaitCode::NoProposal, "look at the leaders' logs, and at their clocks and L1 endpoints")
            };
            add(code, waiting.to_string(), remedy);
        }
        if let Some(sitting_out) = &votes.sitting_out {
            let remedy = "where the clock is wrong, set it; else nothing: the node votes once enough members answer, or from a later epoch on";
            add(WaitCode::SittingOut, sitting_out.clone(), remedy);
        }
        if let Some(peers) = peers
            && peers + 1 < *quorum
            && *lonely_for >= PEER_PATIENCE
        {
            let text = format!("connected to {peers} sequencers: with this node {}, a quorum is {quorum}", peers + 1);
            add(
                WaitCode::TooFewPeers,
                text,
                "check the addresses in `[sequencer.peers]`, the firewall, and whether the others run",
            );
        }
    }
    if let Some(posts) = posts {
        let trouble = posts.last_error.clone();
        if posts.backlog_full {
            let cause = trouble.map_or_else(String::new, |error| format!(": {error}"));
            let text =
                format!("{} blocks wait to be posted on L1: no transaction is taken until some are{cause}", posts.backlog_blocks);
            add(WaitCode::DaBacklog, text, "fund the posters' L1 accounts, check the L1 endpoint");
        } else if let Some(trouble) = trouble {
            add(WaitCode::PostingFails, trouble, "check the poster's L1 account and the L1 endpoint");
        } else if let Some(waiting) = &posts.waiting {
            add(
                WaitCode::DataMissing,
                waiting.clone(),
                "nothing if it passes; else check `l1.beacon` and that this node keeps up",
            );
        }
    }
    if let Some(follower) = follower {
        if let Some(waiting) = &follower.waiting {
            let remedy =
                "a batch may have to be posted again (`Rollup.repostData`), or the beacon endpoint `l1.beacon` is missing";
            add(WaitCode::DataMissing, waiting.clone(), remedy);
        } else if let Some(error) = &follower.last_error {
            add(WaitCode::DataUnreadable, error.clone(), "check the endpoints in `l1.http` and `l1.beacon`");
        }
    }
    if let Some(failure) = &disk.failure {
        let text = format!("the data directory cannot be written: {failure}");
        add(
            WaitCode::DiskWrite,
            text,
            "make room, or replace the disk; what was acknowledged is safe, and the node goes on after a restart",
        );
    }
    if let Some(free) = disk.free.filter(|free| *free < MIN_FREE) {
        let text = format!("{} MiB are free where the data directory is", free >> 20);
        add(WaitCode::DiskSpace, text, "make room, or move the data directory to a larger disk while the node is stopped");
    }
    reasons
}

/// Judges this machine's clock by the L1 blocks it sees come up.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch {
    newest: Option<u64>,
    /// Age of each newest block when it was first seen, seconds.
    ages: VecDeque<i64>,
}

impl ClockWatch {
    /// L1's head is block `number` of time `timestamp`, and this clock says `now`; both in seconds. Returns the skew, 0 within limits.
    pub(crate) fn look(&mut self, number: u64, timestamp: u64, now: u64) -> i64 {
        if timestamp != 0 && self.newest != Some(number) {
            let age = i64::try_from(i128::from(now) - i128::from(timestamp)).unwrap_or(i64::MAX);
            self.newest = Some(number);
            self.ages.push_back(age);
            if self.ages.len() > SIGHTINGS {
                self.ages.pop_front();
            }
        }
        match (self.ages.back(), self.ages.iter().min()) {
            (Some(newest), _) if *newest < -MAX_BEHIND => *newest,
            (_, Some(youngest)) if self.ages.len() >= ENOUGH_SIGHTINGS && *youngest > MAX_AHEAD => *youngest,
            _ => 0,
        }
    }
}

/// Tells the log, for ever.
pub(crate) async fn narrate(status: Arc<Status>) {
    let mut narrator = Narrator::default();
    loop {
        for line in narrator.look(&status.report().waiting, Instant::now()) {
            match line {
                Line::Waits(Waiting { code, reason, remedy, for_ms }) => {
                    warn!(reason = code.as_str(), seconds = for_ms / 1_000, "waiting: {reason}; {remedy}");
                }
                Line::Over(code, lasted) => {
                    // At the level of the reason: who was told of that wants to hear of its end.
                    warn!(reason = code.as_str(), seconds = lasted.as_secs(), "no longer waiting");
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Waits(Waiting),
    Over(WaitCode, Duration),
}

/// What the log was told.
#[derive(Debug, Default)]
struct Narrator {
    told: BTreeMap<WaitCode, Telling>,
}

impl Narrator {
    fn look(&mut self, waiting: &[Waiting], now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        self.told.retain(|code, telling| {
            let lasts = waiting.iter().any(|waiting| waiting.code == *code);
            if !lasts && let Some(lasted) = telling.passed(now) {
                lines.push(Line::Over(*code, lasted));
            }
            lasts
        });
        for reason in waiting {
            let began = now.checked_sub(Duration::from_millis(reason.for_ms)).unwrap_or(now);
            let telling = self.told.entry(reason.code).or_insert_with(|| Telling::since(began));
            if telling.lasts(now).is_some() {
                lines.push(Line::Waits(reason.clone()));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    /// A sequencer that lacks nothing.
    fn well() -> Facts {
        Facts {
            votes: Some(oceanid_sequencer::Status { voting: true, ..Default::default() }),
            posts: Some(SettlementStatus::default()),
            peers: Some(3),
            quorum: 3,
            disk: Disk { free: Some(MIN_FREE), failure: None },
            ..Facts::default()
        }
    }

    /// The only reason, which must have that code and these words.
    fn only(facts: &Facts, code: WaitCode, words: &[&str]) {
        let reasons = reasons(facts);
        assert_eq!(reasons.iter().map(|reason| reason.code).collect::<Vec<_>>(), [code], "{reasons:?}");
        for word in words {
            assert!(reasons[0].text.contains(word), "{}", reasons[0].text);
        }
        assert!(!reasons[0].remedy.is_empty());
    }

    #[test]
    fn a_node_that_lacks_nothing_has_no_reason() {
        assert_eq!(reasons(&well()), []);
        assert_eq!(reasons(&Facts { follower: Some(FollowerStatus::default()), ..Facts::default() }), []);
    }

    #[test]
    fn l1_unreachable_is_a_reason() {
        let l1 = L1Status { failures: 3, last_error: Some("connection refused".into()), ..L1Status::default() };
        only(&Facts { l1, ..well() }, WaitCode::L1Unreachable, &["3 failures", "connection refused"]);
    }

    #[test]
    fn too_few_peers_are_a_reason_once_it_lasts() {
        let lonely = Facts { peers: Some(1), lonely_for: PEER_PATIENCE, ..well() };
        only(&lonely, WaitCode::TooFewPeers, &["connected to 1 sequencers", "a quorum is 3"]);
        assert_eq!(reasons(&Facts { lonely_for: Duration::ZERO, ..lonely.clone() }), []);
        assert_eq!(reasons(&Facts { peers: Some(2), ..lonely.clone() }), [], "this node votes too");
        assert_eq!(reasons(&Facts { votes: None, ..lonely }), [], "a follower needs nobody");
    }

    #[test]
    fn a_committee_below_quorum_is_a_reason_and_names_who_is_missing() {
        let identity = B256::repeat_byte(7);
        let silent = oceanid_sequencer::Silent { index: 2, id: 9, identity, last_view: None, connected: false };
        let waiting = oceanid_sequencer::Waiting { since: 100, quorum: 3, heard: 2, silent: vec![silent] };
        let votes = |waiting| Some(oceanid_sequencer::Status { waiting: Some(waiting), ..Default::default() });
        let facts = Facts { votes: votes(waiting.clone()), ..well() };
        only(&facts, WaitCode::NoQuorum, &["2 members vote, 3 are needed", &format!("sequencer 9 ({identity}, not connected)")]);
        let heard = oceanid_sequencer::Waiting { heard: 3, ..waiting };
        only(&Facts { votes: votes(heard), ..well() }, WaitCode::NoProposal, &["no proposal gets through"]);
    }

    #[test]
    fn a_da_backlog_is_a_reason_with_its_cause() {
        let posts = SettlementStatus {
            backlog_full: true,
            backlog_blocks: 77,
            last_error: Some("insufficient funds".into()),
            waiting: Some("the backlog is full".into()),
            ..SettlementStatus::default()
        };
        let facts = Facts { posts: Some(posts.clone()), ..well() };
        only(&facts, WaitCode::DaBacklog, &["77 blocks wait", "insufficient funds"]);
        let failing = SettlementStatus { backlog_full: false, ..posts };
        only(&Facts { posts: Some(failing), ..well() }, WaitCode::PostingFails, &["insufficient funds"]);
    }

    #[test]
    fn clock_skew_is_a_reason_both_ways() {
        only(&Facts { clock_skew: -30, ..well() }, WaitCode::ClockSkew, &["30 s in the future", "slow"]);
        only(&Facts { clock_skew: 90, ..well() }, WaitCode::ClockSkew, &["90 s old", "fast"]);
    }

    #[test]
    fn the_clock_is_judged_by_blocks_that_come_up() {
        let mut clock = ClockWatch::default();
        assert_eq!(clock.look(0, 0, 1_000), 0, "no contact yet");
        // A head that stands still grows old without any fault of the clock.
        assert_eq!([clock.look(1, 1_000, 1_001), clock.look(1, 1_000, 5_000)], [0, 0]);
        assert_eq!(clock.look(2, 5_012, 5_001), -11, "from the future");
        assert_eq!(clock.look(3, 5_013, 5_013), 0, "the clock was set");
        let mut fast = ClockWatch::default();
        let seen: Vec<i64> = (0..5).map(|block| fast.look(block, 1_000 + 12 * block, 1_100 + 12 * block)).collect();
        assert_eq!(seen, [0, 0, 0, 100, 100]);
        assert_eq!(fast.look(9, 2_000, 2_001), 0, "one fresh block is enough to see that it is the endpoint");
    }

    #[test]
    fn a_full_disk_and_a_failing_one_are_reasons() {
        let disk = Disk { free: Some(MIN_FREE - 1), failure: None };
        only(&Facts { disk, ..well() }, WaitCode::DiskSpace, &["1023 MiB are free"]);
        let disk = Disk { free: Some(MIN_FREE), failure: Some("read-only file system".into()) };
        only(&Facts { disk, ..well() }, WaitCode::DiskWrite, &["read-only file system"]);
    }

    #[test]
    fn what_only_followers_and_stopped_nodes_have() {
        let follower = |waiting: Option<&str>, error: Option<&str>| Facts {
            follower: Some(FollowerStatus {
                waiting: waiting.map(str::to_owned),
                last_error: error.map(str::to_owned),
                ..FollowerStatus::default()
            }),
            ..Facts::default()
        };
        only(&follower(Some("batch 3 has no good data"), None), WaitCode::DataMissing, &["batch 3"]);
        only(&follower(None, Some("404")), WaitCode::DataUnreadable, &["404"]);
        let votes = |failure: Option<&str>, out: Option<&str>| {
            let (failure, sitting_out) = (failure.map(str::to_owned), out.map(str::to_owned));
            Facts { votes: Some(oceanid_sequencer::Status { failure, sitting_out, ..Default::default() }), ..well() }
        };
        only(&votes(Some("journal"), None), WaitCode::ConsensusStopped, &["journal"]);
        only(&votes(None, Some("not covered")), WaitCode::SittingOut, &["not covered"]);
        let l1 = L1Status { waiting: Some("the window is full".into()), ..L1Status::default() };
        only(&Facts { l1, ..well() }, WaitCode::L1WindowFull, &["window"]);
    }

    #[test]
    fn the_log_is_told_at_growing_intervals_and_when_it_is_over() {
        let start = Instant::now();
        let waits = |for_ms| Waiting { code: WaitCode::NoQuorum, reason: "r".into(), remedy: "m".into(), for_ms };
        let mut narrator = Narrator::default();
        let mut at = |seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            narrator.look(&if seconds < 700 { vec![waits(seconds * 1_000)] } else { Vec::new() }, now)
        };
        assert_eq!(at(4), [], "it may pass");
        assert_eq!(at(5), [Line::Waits(waits(5_000))]);
        assert_eq!((at(6), at(59)), (vec![], vec![]), "not at every look");
        assert_eq!(at(60), [Line::Waits(waits(60_000))]);
        assert_eq!(at(659), []);
        assert_eq!(at(660), [Line::Waits(waits(660_000))]);
        assert_eq!(at(700), [Line::Over(WaitCode::NoQuorum, Duration::from_secs(700))]);
        assert_eq!(at(701), []);
    }

    #[test]
    fn what_to_do_is_said_once() {
        let error = oceanid_settlement::L1Error::Rpc {
            endpoint: oceanid_contracts::endpoint::Endpoint::new("http://127.0.0.1:1"),
            method: "eth_getBlockByNumber",
            message: "connection refused".into(),
        };
        let l1 = L1Status { failures: 3, last_error: Some(error.to_string()), ..L1Status::default() };
        let reasons = reasons(&Facts { l1, ..well() });
        let line = format!("{}; {}", reasons[0].text, reasons[0].remedy);
        assert_eq!(line.matches("check").count(), 1, "{line}");
    }
}
