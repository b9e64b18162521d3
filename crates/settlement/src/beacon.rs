//! The beacon endpoint: blobs of a block, by the standard beacon API.
//!
//! Two forms exist: `blob_sidecars/{slot}` (older nodes) and `blobs/{slot}` (Fulu and later). The first is asked first; a node
//! that refuses it is asked for the second. A development node without `config/spec` (anvil) names blocks by their number.

use crate::L1Error;
use crate::client::http_client;
use alloy_eips::eip4844::{Blob, kzg_to_versioned_hash};
use alloy_primitives::{B256, Bytes};
use oceanid_contracts::endpoint::Endpoint;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt;
use tokio::sync::OnceCell;

/// A beacon node's http endpoint.
pub struct BeaconClient {
    http: reqwest::Client,
    url: String,
    endpoint: Endpoint,
    clock: OnceCell<Clock>,
}

/// How a block's time gives its slot.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Slots {
        genesis_time: u64,
        seconds_per_slot: u64,
    },
    /// A development node: block numbers are used instead.
    Numbers,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Genesis {
    genesis_time: String,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "SECONDS_PER_SLOT")]
    seconds_per_slot: String,
}

#[derive(Deserialize)]
struct Sidecar {
    blob: Box<Blob>,
    kzg_commitment: Bytes,
}

/// What an http request came to.
enum Answer<T> {
    Found(T),
    /// The server does not serve this path (4xx).
    Refused(String),
}

impl BeaconClient {
    /// Prepares a client for an `http(s)://` endpoint; nothing is sent yet.
    pub fn new(url: &str) -> Result<Self, L1Error> {
        let endpoint = Endpoint::new(url);
        let bad = || L1Error::Url(endpoint.clone());
        let parsed = reqwest::Url::parse(url).map_err(|_| bad())?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad());
        }
        let http = http_client().map_err(|_| bad())?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), endpoint, clock: OnceCell::new() })
    }

    /// The blobs with these versioned hashes, in this order, of the L1 block with this time and number. Their commitments are
    /// the caller's to check.
    pub(crate) async fn blobs(
        &self,
        hashes: &[B256],
        transaction: B256,
        timestamp: u64,
        number: u64,
    ) -> Result<Vec<Blob>, L1Error> {
        let missing = || L1Error::BlobsMissing { endpoint: self.endpoint.clone(), transaction };
        let clock = *self.clock.get_or_try_init(|| self.read_clock()).await?;
        let block = match clock {
            Clock::Slots { genesis_time, seconds_per_slot } => timestamp.saturating_sub(genesis_time) / seconds_per_slot,
            Clock::Numbers => number,
        };
        let path = format!("eth/v1/beacon/blob_sidecars/{block}");
        if let Answer::Found(sidecars) = self.get::<Vec<Sidecar>>("blob_sidecars", &path).await? {
            let by_hash: HashMap<B256, Box<Blob>> =
                sidecars.into_iter().map(|sidecar| (kzg_to_versioned_hash(&sidecar.kzg_commitment), sidecar.blob)).collect();
            // One transaction may name a blob twice.
            return hashes.iter().map(|hash| by_hash.get(hash).map(|blob| **blob).ok_or_else(missing)).collect();
        }
        let mut distinct: Vec<B256> = Vec::with_capacity(hashes.len());
        for hash in hashes {
            if !distinct.contains(hash) {
                distinct.push(*hash);
            }
        }
        let query: Vec<String> = distinct.iter().map(|hash| format!("versioned_hashes={hash}")).collect();
        let path = format!("eth/v1/beacon/blobs/{block}?{}", query.join("&"));
        match self.get::<Vec<Box<Blob>>>("blobs", &path).await? {
            Answer::Found(blobs) if blobs.len() == distinct.len() => {
                let by_hash: HashMap<B256, Box<Blob>> = distinct.into_iter().zip(blobs).collect();
                hashes.iter().map(|hash| by_hash.get(hash).map(|blob| **blob).ok_or_else(missing)).collect()
            }
            Answer::Found(_) | Answer::Refused(_) => Err(missing()),
        }
    }

    async fn read_clock(&self) -> Result<Clock, L1Error> {
        let genesis_time = match self.get::<Genesis>("genesis", "eth/v1/beacon/genesis").await? {
            Answer::Found(genesis) => self.number("genesis", &genesis.genesis_time)?,
            Answer::Refused(message) => return Err(self.failure("genesis", message)),
        };
        match self.get::<Spec>("config/spec", "eth/v1/config/spec").await? {
            Answer::Found(spec) => {
                let seconds_per_slot = self.number("config/spec", &spec.seconds_per_slot)?.max(1);
                Ok(Clock::Slots { genesis_time, seconds_per_slot })
            }
            Answer::Refused(_) => Ok(Clock::Numbers),
        }
    }

    fn number(&self, method: &'static str, text: &str) -> Result<u64, L1Error> {
        text.parse().map_err(|_| self.failure(method, format!("`{text}` is not a number")))
    }

    async fn get<T: DeserializeOwned>(&self, method: &'static str, path: &str) -> Result<Answer<T>, L1Error> {
        let failure = |error: reqwest::Error| self.failure(method, self.endpoint.cause(&error));
        let response = self.http.get(format!("{}/{path}", self.url)).send().await.map_err(failure)?;
        let status = response.status();
        if status.is_client_error() {
            return Ok(Answer::Refused(status.to_string()));
        }
        if !status.is_success() {
            return Err(self.failure(method, status.to_string()));
        }
        response.json::<Data<T>>().await.map(|answer| Answer::Found(answer.data)).map_err(failure)
    }

    fn failure(&self, method: &'static str, message: String) -> L1Error {
        L1Error::Rpc { endpoint: self.endpoint.clone(), method, message: self.endpoint.redact(&message) }
    }
}

impl fmt::Debug for BeaconClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BeaconClient").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_in_the_beacon_url_is_in_no_error() {
        let beacon = BeaconClient::new("http://user:s3cr3t@127.0.0.1:9/s3cr3t?key=s3cr3t").unwrap();
        let error = beacon.blobs(&[B256::ZERO], B256::ZERO, 1, 1).await.unwrap_err();
        let texts = format!("{error} {error:?} {beacon:?} {}", beacon.failure("genesis", "no s3cr3t".to_owned()));
        assert!(texts.contains("http://127.0.0.1:9") && !texts.contains("s3cr3t"), "{texts}");
    }
}
