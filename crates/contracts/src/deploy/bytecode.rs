//! Code on L1 held against the committed artifacts, immutables considered.

use super::plan::Contract;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What the comparison needs of an artifact.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    deployed_bytecode: alloy_primitives::Bytes,
    /// Where the constructor writes its immutables, by their number in the source.
    immutable_references: BTreeMap<String, Vec<Reference>>,
}

/// A place in the code that holds an immutable; bytes.
#[derive(Clone, Copy, Deserialize)]
struct Reference {
    start: usize,
    length: usize,
}

/// How code differs from its artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeMismatch {
    /// There is none.
    #[error("no code")]
    None,
    /// Another size.
    #[error("{found} bytes of code, the artifact has {expected}")]
    Size {
        /// On L1.
        found: usize,
        /// In the artifact.
        expected: usize,
    },
    /// A byte that no constructor writes.
    #[error("code differs from the artifact at byte {at}")]
    Byte {
        /// Its place.
        at: usize,
    },
    /// One immutable with two values: no constructor has written this code.
    #[error("the immutable at byte {at} has another value than where it stands first")]
    Immutable {
        /// Its place.
        at: usize,
    },
}

impl Contract {
    const fn artifact(self) -> &'static str {
        macro_rules! artifact {
            ($name:literal) => {
                include_str!(concat!("../../../../contracts/artifacts/", $name, ".json"))
            };
        }
        match self {
            Self::Token => artifact!("OceanidToken"),
            Self::Timelock => artifact!("Timelock"),
            Self::SequencerPool => artifact!("SequencerPool"),
            Self::UnbondingTicket => artifact!("UnbondingTicket"),
            Self::Portal => artifact!("Portal"),
            Self::GasPriceOracle => artifact!("GasPriceOracle"),
            Self::L1Bridge => artifact!("L1Bridge"),
            Self::Slasher => artifact!("Slasher"),
            Self::FeeSplitter => artifact!("FeeSplitter"),
            Self::MiningRewards => artifact!("MiningRewards"),
            Self::Rollup => artifact!("Rollup"),
        }
    }

    /// Whether `code` is this contract's: equal to the artifact but for the immutables, and each of those the same at all its places. What the
    /// immutables say is another question, which the contracts' getters answer.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub fn check_code(self, code: &[u8]) -> Result<(), CodeMismatch> {
        let artifact: Artifact = serde_json::from_str(self.artifact()).expect("committed artifacts are well formed");
        check(&artifact, code)
    }
}

fn check(artifact: &Artifact, code: &[u8]) -> Result<(), CodeMismatch> {
    let expected = &artifact.deployed_bytecode;
    if code.is_empty() {
        return Err(CodeMismatch::None);
    }
    if code.len() != expected.len() {
        return Err(CodeMismatch::Size { found: code.len(), expected: expected.len() });
    }
    let mut masked = code.to_vec();
    for places in artifact.immutable_references.values() {
        let value = |place: &Reference| &code[place.start..place.start + place.length];
        if let Some(place) = places.iter().find(|place| value(place) != value(&places[0])) {
            return Err(CodeMismatch::Immutable { at: place.start });
        }
        for Reference { start, length } in places {
            masked[*start..start + length].copy_from_slice(&expected[*start..start + length]);
        }
    }
    match masked.iter().zip(expected.iter()).position(|(found, expected)| found != expected) {
        None => Ok(()),
        Some(at) => Err(CodeMismatch::Byte { at }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal() -> (Artifact, Vec<u8>) {
        let artifact: Artifact = serde_json::from_str(Contract::Portal.artifact()).unwrap();
        let code = artifact.deployed_bytecode.to_vec();
        (artifact, code)
    }

    #[test]
    fn immutables_may_have_any_value_but_one_each() {
        let (artifact, mut code) = portal();
        let places = artifact.immutable_references.values().find(|places| places.len() > 1).unwrap();
        for place in places {
            code[place.start..place.start + place.length].fill(0x77);
        }
        assert_eq!(Contract::Portal.check_code(&code), Ok(()));
        let last = places.last().unwrap().start;
        code[last] ^= 1;
        assert_eq!(Contract::Portal.check_code(&code), Err(CodeMismatch::Immutable { at: last }));
    }

    #[test]
    fn one_other_byte_is_found() {
        let (artifact, mut code) = portal();
        let fixed = |at: &usize| {
            let inside = |place: &Reference| (place.start..place.start + place.length).contains(at);
            !artifact.immutable_references.values().flatten().any(inside)
        };
        let at = (code.len() / 2..).find(fixed).unwrap();
        code[at] ^= 1;
        assert_eq!(Contract::Portal.check_code(&code), Err(CodeMismatch::Byte { at }));
        code.push(0);
        let size = CodeMismatch::Size { found: code.len(), expected: code.len() - 1 };
        assert_eq!(Contract::Portal.check_code(&code), Err(size));
        assert_eq!(Contract::Portal.check_code(&[]), Err(CodeMismatch::None));
        assert!(Contract::Rollup.check_code(&artifact.deployed_bytecode).is_err(), "another contract's code");
    }
}
