//! Where the data of a batch sits.

/// Data availability mode of one batch (the number is the one in `Rollup.submitBatch` and in its events).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum DaMode {
    /// L1 calldata; the commitment is `keccak256(data)`.
    Calldata = 0,
    /// EIP-4844 blobs; the commitment is `keccak256` of the concatenated versioned hashes.
    Blob = 1,
    /// The storage network; the commitment is that of the erasure code. `Rollup` refuses it until the network exists.
    Storage = 2,
}

/// A number that names no mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown data availability mode {0}: 0 is calldata, 1 is blob, 2 is storage")]
pub struct UnknownDaMode(pub u8);

impl TryFrom<u8> for DaMode {
    type Error = UnknownDaMode;

    fn try_from(mode: u8) -> Result<Self, UnknownDaMode> {
        match mode {
            0 => Ok(Self::Calldata),
            1 => Ok(Self::Blob),
            2 => Ok(Self::Storage),
            other => Err(UnknownDaMode(other)),
        }
    }
}

impl core::fmt::Display for DaMode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Calldata => "calldata",
            Self::Blob => "blob",
            Self::Storage => "storage",
        })
    }
}

impl core::str::FromStr for DaMode {
    type Err = alloc::string::String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "calldata" => Ok(Self::Calldata),
            "blob" => Ok(Self::Blob),
            "storage" => Ok(Self::Storage),
            other => Err(alloc::format!("unknown data availability mode `{other}`: one of calldata, blob, storage")),
        }
    }
}
