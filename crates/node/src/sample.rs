//! What is too dear to measure at every request, measured every few seconds.

use crate::economy::unix_time;
use crate::status::Role;
use crate::waiting::{ClockWatch, Disk};
use oceanid_sequencer::Sequencer;
use oceanid_settlement::L1Watcher;
use parking_lot::RwLock;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Pause between two looks at consensus and memory.
const PAUSE: Duration = Duration::from_secs(2);
/// Pause between two looks at the disk.
const DISK_PAUSE: Duration = Duration::from_secs(30);
/// Name of the file that is written to see whether the disk still takes writes.
const PROBE: &str = "write-probe";
/// Bytes of that file: a page.
const PROBE_BYTES: usize = 4_096;
/// Unit in which the operating system tells what a file takes, bytes.
const DISK_BLOCK: u64 = 512;
/// Most files counted in one folder of the node.
const MAX_FILES: usize = 100_000;

/// The newest measurements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// The consensus library's own metrics.
    pub(crate) consensus: Arc<str>,
    /// Views that timed out in the running epoch.
    pub(crate) view_timeouts: Option<u64>,
    /// Connected sequencers.
    pub(crate) peers: Option<usize>,
    /// Seconds this clock is ahead of L1's, 0 within limits.
    pub(crate) clock_skew: i64,
    /// The disk under the data directory.
    pub(crate) disk: Disk,
    /// Bytes on disk by part of the data directory.
    pub(crate) store_bytes: Vec<(&'static str, u64)>,
    /// Memory in RAM, bytes; none where the operating system does not tell.
    pub(crate) resident_bytes: Option<u64>,
}

/// Where the newest measurements are.
pub(crate) type Samples = Arc<RwLock<Sample>>;

/// Measures for ever. The sequencer, while this node is one, is not kept alive by this.
pub(crate) async fn run(samples: Samples, role: watch::Receiver<Role>, watcher: L1Watcher, data_dir: PathBuf) {
    let (mut disk_due, mut clock) = (Instant::now(), ClockWatch::default());
    loop {
        let sequencer = match &*role.borrow() {
            Role::Sequencer { sequencer, .. } => Arc::downgrade(sequencer),
            Role::Follower { .. } | Role::Changing => Weak::new(),
        };
        let consensus = metrics(&sequencer).await;
        if Instant::now() >= disk_due {
            let data_dir = data_dir.clone();
            // Files come and go under the walk: what it counts is right to within that.
            if let Ok((bytes, disk)) = oceanid_settlement::spawn_blocking(move || (store_bytes(&data_dir), disk(&data_dir))).await
            {
                let mut samples = samples.write();
                (samples.store_bytes, samples.disk) = (bytes, disk);
            }
            disk_due = Instant::now() + DISK_PAUSE;
        }
        let l1 = watcher.status();
        let skew = clock.look(l1.head, l1.head_timestamp, unix_time());
        {
            let mut sample = samples.write();
            take(&mut sample, consensus);
            sample.clock_skew = skew;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes in what is quickly measured and what the consensus library says.
fn take(sample: &mut Sample, consensus: Option<String>) {
    sample.resident_bytes = resident_bytes();
    sample.view_timeouts = consensus.as_ref().map(|text| values(text, "_voter_state_timeouts_total").sum::<f64>() as u64);
    sample.peers = consensus.as_ref().map(|text| values(text, "_tracker_directory_connected").count());
    sample.consensus = consensus.unwrap_or_default().into();
}

/// Free space, and whether a small file can be written durably.
fn disk(data_dir: &Path) -> Disk {
    let free = nix::sys::statvfs::statvfs(data_dir).ok().map(|about| about.blocks_available() * about.fragment_size());
    Disk { free, failure: probe(&data_dir.join(PROBE)).err().map(|error| error.to_string()) }
}

fn probe(path: &Path) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    file.write_all(&[0x5a; PROBE_BYTES])?;
    file.sync_data()?;
    std::fs::remove_file(path)
}

/// The consensus library's metrics; none when it has stopped.
async fn metrics(sequencer: &Weak<Sequencer>) -> Option<String> {
    sequencer.upgrade()?.metrics().await
}

/// The values of all series whose metric's name ends so.
fn values<'a>(text: &'a str, suffix: &'a str) -> impl Iterator<Item = f64> + 'a {
    text.lines().filter_map(move |line| {
        let (series, value) = line.rsplit_once(' ')?;
        let name = series.split_once('{').map_or(series, |(name, _)| name);
        if name.starts_with('#') || !name.ends_with(suffix) {
            return None;
        }
        value.parse().ok()
    })
}

fn store_bytes(data_dir: &Path) -> Vec<(&'static str, u64)> {
    ["chain", "sequencer"]
        .into_iter()
        .map(|part| (part, data_dir.join(part)))
        .filter(|(_, folder)| folder.is_dir())
        .map(|(part, folder)| (part, folder_bytes(folder)))
        .collect()
}

/// Bytes that the files in a folder and below it take on disk, links not followed. A file's length says less: the engine makes its journal 64 MiB long
/// before it writes to it.
pub(crate) fn folder_bytes(folder: PathBuf) -> u64 {
    let (mut bytes, mut files, mut folders) = (0u64, 0, vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                bytes = bytes.saturating_add(about.len().min(about.blocks().saturating_mul(DISK_BLOCK)));
            }
            files += 1;
            if files >= MAX_FILES {
                return bytes;
            }
        }
    }
    bytes
}

/// Linux tells it in `/proc/self/status`, in KiB.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_the_end_of_their_name() {
        let text = "# HELP a_voter_state_timeouts x\n# TYPE a_voter_state_timeouts counter\n\
                    a_voter_state_timeouts_total{leader=\"x y\",reason=\"Inactivity\"} 2\na_voter_state_timeouts_total{reason=\"z\"} 3\nb 9\n";
        assert_eq!(values(text, "_voter_state_timeouts_total").sum::<f64>(), 5.0);
        assert_eq!(values(text, "_tracker_directory_connected").count(), 0);
    }

    #[test]
    fn a_folder_is_counted_with_what_is_below() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir_all(folder.path().join("chain/below")).expect("made");
        std::fs::write(folder.path().join("chain/one"), [0; 10]).expect("written");
        std::fs::write(folder.path().join("chain/below/two"), [0; 7]).expect("written");
        let hole = std::fs::File::create(folder.path().join("chain/below/hole")).expect("made");
        hole.set_len(64 << 20).expect("longer");
        assert_eq!(store_bytes(folder.path()), [("chain", 17)], "a hole takes nothing");
    }

    #[test]
    fn a_disk_that_takes_no_writes_is_noticed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let healthy = disk(folder.path());
        assert!(healthy.failure.is_none() && healthy.free.is_some(), "{healthy:?}");
        assert!(!folder.path().join(PROBE).exists(), "nothing is left behind");
        // A folder where the file should be: a write that fails for every user, root included.
        std::fs::create_dir(folder.path().join(PROBE)).expect("made");
        assert!(disk(folder.path()).failure.is_some());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_told() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
