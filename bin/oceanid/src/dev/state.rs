//! The folder of a development network, and what the network in it was made with: written down when it is made, held against the flags when it is
//! resumed.

use crate::cli::DevArgs;
use eyre::{WrapErr, bail, ensure};
use oceanid_contracts::endpoint::Endpoint;
use oceanid_devnet::DevOptions;
use oceanid_primitives::DaMode;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The record. A folder that has something in it and no such file is somebody else's.
const RECORD: &str = "dev.json";
/// An empty block is made after this long without one, unless the flag says, milliseconds.
const HEARTBEAT_MS: u64 = 3_000;

/// The specification of the network in `folder`; there once everything is deployed.
pub(super) fn spec_file(folder: &Path) -> PathBuf {
    folder.join("spec.json")
}

/// What a network is made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    /// The chain.
    #[serde(flatten)]
    pub(super) options: DevOptions,
    /// Where batches go.
    pub(super) da: DaMode,
    /// The L1, without what may be a key in its URL; none: the embedded one.
    l1: Option<String>,
}

impl Made {
    /// What flags ask for, and the defaults.
    pub(super) fn new(args: &DevArgs) -> Self {
        let preset = DevOptions { heartbeat_ms: HEARTBEAT_MS, ..DevOptions::of(args.preset.unwrap_or_default()) };
        let beacon = args.l1.is_none() || args.l1_beacon.is_some();
        Self {
            options: flags_over(args, preset),
            da: args.da.unwrap_or(if beacon { DaMode::Blob } else { DaMode::Calldata }),
            l1: args.l1.as_deref().map(|url| Endpoint::new(url).to_string()),
        }
    }

    /// What the network of `folder` is made with: a new one as the flags say, and one that is there already as it is, if no flag says otherwise.
    /// Changes nothing.
    pub(super) fn settle(args: &DevArgs, folder: &Path) -> eyre::Result<Self> {
        let shown = folder.display();
        let record = match std::fs::read(folder.join(RECORD)) {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let empty = match std::fs::read_dir(folder) {
                    Ok(mut entries) => entries.next().is_none(),
                    Err(error) if error.kind() == ErrorKind::NotFound => true,
                    Err(error) => return Err(error).wrap_err_with(|| format!("--state {shown}")),
                };
                ensure!(empty, "--state {shown}: the folder is not empty, and `oceanid dev` has not made it: choose another");
                return Ok(Self::new(args));
            }
            Err(error) => return Err(error).wrap_err_with(|| format!("--state {shown}: cannot read {RECORD}")),
        };
        if !spec_file(folder).exists() {
            // Its deployment was broken off.
            return Ok(Self::new(args));
        }
        let made: Self = serde_json::from_slice(&record).wrap_err_with(|| format!("--state {shown}: {RECORD}"))?;
        made.agree(args, folder)?;
        Ok(made)
    }

    /// Refuses flags that say something else.
    fn agree(&self, args: &DevArgs, folder: &Path) -> eyre::Result<()> {
        let folder = folder.display();
        let asked = Self { options: flags_over(args, self.options), da: args.da.unwrap_or(self.da), l1: None };
        for ((flag, asked), (_, has)) in asked.flags().into_iter().zip(self.flags()) {
            ensure!(
                asked == has,
                "{flag} {asked}: the network in {folder} was made with {has}; leave the flag out, or choose another --state"
            );
        }
        match (&self.l1, &args.l1) {
            (Some(l1), None) => {
                bail!(
                    "--l1 is missing: the network in {folder} was made on the L1 at {l1}; give its URL, or choose another --state"
                )
            }
            (None, Some(url)) => bail!(
                "--l1 {}: the network in {folder} was made with its embedded L1; leave the flag out, or choose another --state",
                Endpoint::new(url)
            ),
            (Some(_), Some(_)) if self.da == DaMode::Blob && args.l1_beacon.is_none() => {
                bail!("--l1-beacon is missing: the batches of the network in {folder} are blobs, which nobody could read back")
            }
            _ => Ok(()),
        }
    }

    /// Every choice as its flag takes it.
    fn flags(&self) -> [(&'static str, String); 11] {
        let DevOptions {
            preset,
            sequencers,
            block_time_ms,
            heartbeat_ms,
            epoch_length,
            challenge_window,
            unbonding_period,
            rotation_interval,
            jail_period,
            stall_timeout,
        } = self.options;
        let milliseconds = |value: u64| if value % 1_000 == 0 { format!("{}s", value / 1_000) } else { format!("{value}ms") };
        let seconds = |value: u64| format!("{value}s");
        [
            ("--preset", preset.to_string()),
            ("--sequencers", sequencers.to_string()),
            ("--block-time", milliseconds(block_time_ms)),
            ("--heartbeat", milliseconds(heartbeat_ms)),
            ("--epoch-length", epoch_length.to_string()),
            ("--challenge-window", seconds(challenge_window)),
            ("--unbonding-period", seconds(unbonding_period)),
            ("--rotation-interval", seconds(rotation_interval)),
            ("--jail-period", seconds(jail_period)),
            ("--stall-timeout", seconds(stall_timeout)),
            ("--da", self.da.to_string()),
        ]
    }

    /// Writes the record: from now on the folder is `oceanid dev`'s.
    pub(super) fn save(&self, folder: &Path) -> eyre::Result<()> {
        let file = folder.join(RECORD);
        std::fs::write(&file, serde_json::to_vec_pretty(self)?).wrap_err_with(|| format!("cannot write {}", file.display()))
    }
}

/// The flags that were given, over `base`.
fn flags_over(args: &DevArgs, base: DevOptions) -> DevOptions {
    let seconds = |given: Option<u64>, base: u64| given.map_or(base, |milliseconds| milliseconds.div_ceil(1_000));
    DevOptions {
        preset: args.preset.unwrap_or(base.preset),
        sequencers: args.sequencers.unwrap_or(base.sequencers),
        block_time_ms: args.block_time.unwrap_or(base.block_time_ms),
        heartbeat_ms: args.heartbeat.unwrap_or(base.heartbeat_ms),
        epoch_length: args.epoch_length.unwrap_or(base.epoch_length),
        challenge_window: seconds(args.challenge_window, base.challenge_window),
        unbonding_period: seconds(args.unbonding_period, base.unbonding_period),
        rotation_interval: seconds(args.rotation_interval, base.rotation_interval),
        jail_period: seconds(args.jail_period, base.jail_period),
        stall_timeout: seconds(args.stall_timeout, base.stall_timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::tests::flags;

    /// A folder with a network that was made with these flags.
    fn network(arguments: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        Made::settle(&flags(arguments), folder.path()).unwrap().save(folder.path()).unwrap();
        std::fs::write(spec_file(folder.path()), "{}").unwrap();
        folder
    }

    fn refusal(folder: &Path, arguments: &str) -> Option<String> {
        Made::settle(&flags(arguments), folder).err().map(|error| format!("{error:#}"))
    }

    #[test]
    fn a_network_is_resumed_as_it_was_made() {
        let folder = network("--sequencers 2 --epoch-length 30 --challenge-window 1500ms --da calldata");
        let resumed = Made::settle(&flags(""), folder.path()).unwrap();
        assert_eq!((resumed.options.sequencers, resumed.options.epoch_length, resumed.da), (2, 30, DaMode::Calldata));
        assert_eq!(refusal(folder.path(), "--sequencers 2 --epoch-length 30 --challenge-window 1500ms --heartbeat 3s"), None);
        for (asked, has) in [
            ("--sequencers 4", "2"),
            ("--epoch-length 60", "30"),
            ("--challenge-window 1s", "2s"),
            ("--block-time 200ms", "500ms"),
            ("--heartbeat 1s", "3s"),
            ("--preset metis", "dev"),
            ("--da blob", "calldata"),
        ] {
            let said = refusal(folder.path(), asked).expect(asked);
            assert_eq!(
                said,
                format!(
                    "{asked}: the network in {} was made with {has}; leave the flag out, or choose another --state",
                    folder.path().display()
                )
            );
        }
    }

    #[test]
    fn a_network_stays_on_its_l1() {
        let told = |made: &str, resumed: &str, text: &str| {
            let folder = network(made);
            let said = refusal(folder.path(), resumed).expect(resumed);
            assert!(said.contains(text) && !said.contains("s3cr3t"), "{said}");
        };
        told("--l1 http://127.0.0.1:1/s3cr3t", "", "--l1 is missing");
        told("--l1 http://127.0.0.1:1/s3cr3t", "", "at http://127.0.0.1:1;");
        told("", "--l1 http://127.0.0.1:1/s3cr3t", "--l1 http://127.0.0.1:1: the network");
        told("--l1 http://127.0.0.1:1 --l1-beacon http://127.0.0.1:2", "--l1 http://127.0.0.1:1", "--l1-beacon is missing");
        let folder = network("--l1 http://127.0.0.1:1");
        assert_eq!(
            refusal(folder.path(), "--l1 http://127.0.0.1:3"),
            None,
            "the same L1 at another address, or the nodes refuse it"
        );
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused_and_an_empty_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(refusal(folder.path(), ""), None);
        assert_eq!(refusal(&folder.path().join("none-yet"), ""), None);
        std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let said = refusal(folder.path(), "").expect("refused");
        assert!(said.contains("is not empty, and `oceanid dev` has not made it"), "{said}");
        let said = refusal(&folder.path().join("letter.txt"), "").expect("refused");
        assert!(said.contains("--state"), "{said}");
    }

    #[test]
    fn a_deployment_that_was_broken_off_is_made_anew_with_other_flags() {
        let folder = network("--sequencers 2");
        std::fs::remove_file(spec_file(folder.path())).unwrap();
        assert_eq!(Made::settle(&flags("--sequencers 3"), folder.path()).unwrap().options.sequencers, 3);
    }
}
