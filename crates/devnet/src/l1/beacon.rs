//! The part of the beacon API that rollups read: time, and blobs by slot (ethereum/beacon-APIs, `Beacon` and `Config`).
//!
//! A slot is a second since genesis, and block timestamps strictly increase: a slot has at most one block. There is no beacon chain
//! behind it, so the fields that only a beacon chain could fill (proposer, roots of its state, inclusion proofs, signatures) are zero.

use super::blobs::BlobStore;
use alloy_eips::eip4844::{BlobTransactionSidecar, kzg_to_versioned_hash};
use alloy_primitives::B256;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;

/// Seconds of a slot.
pub const SECONDS_PER_SLOT: u64 = 1;

/// What the endpoint needs to know of the chain.
pub trait Slots: Send + Sync + 'static {
    /// Timestamp of block 0, seconds since 1970.
    fn genesis_time(&self) -> u64;
    /// EIP-155 chain id.
    fn chain_id(&self) -> u64;
    /// Newest block.
    fn head(&self) -> u64;
    /// Newest finalised block.
    fn finalized(&self) -> u64;
    /// Timestamp of a block, if it exists.
    fn timestamp(&self, number: u64) -> Option<u64>;
    /// Number of the block with that hash, if it exists.
    fn number_of(&self, hash: B256) -> Option<u64>;
    /// Hashes of a block's blob transactions, in order.
    fn blob_transactions(&self, number: u64) -> Vec<B256>;
}

struct Beacon<S> {
    slots: S,
    blobs: Arc<BlobStore>,
}

/// The routes.
pub fn router<S: Slots>(slots: S, blobs: Arc<BlobStore>) -> axum::Router {
    axum::Router::new()
        .route("/eth/v1/beacon/genesis", get(genesis::<S>))
        .route("/eth/v1/config/spec", get(spec::<S>))
        .route("/eth/v1/node/version", get(version))
        .route("/eth/v1/beacon/blob_sidecars/{block}", get(blob_sidecars::<S>))
        .route("/eth/v1/beacon/blobs/{block}", get(blob_list::<S>))
        .with_state(Arc::new(Beacon { slots, blobs }))
}

/// An answer in the API's error form.
struct ApiError(StatusCode, String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "code": self.0.as_u16(), "message": self.1 }))).into_response()
    }
}

type Answer = Result<Json<Value>, ApiError>;

async fn genesis<S: Slots>(State(beacon): State<Arc<Beacon<S>>>) -> Json<Value> {
    Json(json!({ "data": {
        "genesis_time": beacon.slots.genesis_time().to_string(),
        "genesis_validators_root": B256::ZERO,
        "genesis_fork_version": "0x00000000",
    }}))
}

async fn spec<S: Slots>(State(beacon): State<Arc<Beacon<S>>>) -> Json<Value> {
    Json(json!({ "data": {
        "CONFIG_NAME": "oceanid-embedded-l1",
        "SECONDS_PER_SLOT": SECONDS_PER_SLOT.to_string(),
        "DEPOSIT_CHAIN_ID": beacon.slots.chain_id().to_string(),
        "MAX_BLOBS_PER_BLOCK_ELECTRA": super::MAX_BLOBS_PER_BLOCK.to_string(),
    }}))
}

async fn version() -> Json<Value> {
    Json(json!({ "data": { "version": concat!("oceanid/v", env!("CARGO_PKG_VERSION")) } }))
}

async fn blob_sidecars<S: Slots>(
    State(beacon): State<Arc<Beacon<S>>>,
    Path(block): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer {
    let wanted = list(&query, "indices")
        .map(|index| index.parse::<usize>().map_err(|_| bad(format!("`indices`: `{index}` is not a number"))))
        .collect::<Result<Vec<_>, _>>()?;
    let (number, slot) = beacon.find(&block)?;
    let sidecars = beacon.sidecars(number)?;
    let header = json!({
        "message": {
            "slot": slot.to_string(),
            "proposer_index": "0",
            "parent_root": B256::ZERO,
            "state_root": B256::ZERO,
            "body_root": B256::ZERO,
        },
        "signature": format!("0x{}", "00".repeat(96)),
    });
    let data: Vec<Value> = sidecars
        .iter()
        .flat_map(|sidecar| sidecar.blobs.iter().zip(&sidecar.commitments).zip(&sidecar.proofs))
        .enumerate()
        .filter(|(index, _)| wanted.is_empty() || wanted.contains(index))
        .map(|(index, ((blob, commitment), proof))| {
            json!({
                "index": index.to_string(),
                "blob": blob,
                "kzg_commitment": commitment,
                "kzg_proof": proof,
                "signed_block_header": header,
                "kzg_commitment_inclusion_proof": vec![B256::ZERO; INCLUSION_PROOF_DEPTH],
            })
        })
        .collect();
    Ok(Json(json!({ "version": "electra", "execution_optimistic": false, "finalized": beacon.is_final(number), "data": data })))
}

/// `KZG_COMMITMENT_INCLUSION_PROOF_DEPTH` of the consensus specification.
const INCLUSION_PROOF_DEPTH: usize = 17;

async fn blob_list<S: Slots>(
    State(beacon): State<Arc<Beacon<S>>>,
    Path(block): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer {
    let wanted = list(&query, "versioned_hashes")
        .map(|hash| hash.parse::<B256>().map_err(|_| bad(format!("`versioned_hashes`: `{hash}` is not a 32-byte hash"))))
        .collect::<Result<Vec<_>, _>>()?;
    let (number, _) = beacon.find(&block)?;
    let sidecars = beacon.sidecars(number)?;
    let data: Vec<Value> = sidecars
        .iter()
        .flat_map(|sidecar| sidecar.blobs.iter().zip(&sidecar.commitments))
        .filter(|(_, commitment)| wanted.is_empty() || wanted.contains(&kzg_to_versioned_hash(commitment.as_slice())))
        .map(|(blob, _)| json!(blob))
        .collect();
    Ok(Json(json!({ "execution_optimistic": false, "finalized": beacon.is_final(number), "data": data })))
}

/// Values of a query parameter, given once with commas or many times.
fn list<'a>(query: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    query.iter().filter(move |(key, _)| key == name).flat_map(|(_, value)| value.split(',')).filter(|value| !value.is_empty())
}

fn bad(message: String) -> ApiError {
    ApiError(StatusCode::BAD_REQUEST, message)
}

impl<S: Slots> Beacon<S> {
    /// Block number and slot behind a block id: a slot, `genesis`, `head`, `finalized` or an execution block hash.
    fn find(&self, id: &str) -> Result<(u64, u64), ApiError> {
        let missing = || ApiError(StatusCode::NOT_FOUND, format!("no block `{id}`"));
        let number = match id {
            "genesis" => 0,
            "head" => self.slots.head(),
            "finalized" => self.slots.finalized(),
            hash if hash.starts_with("0x") => {
                let hash = hash.parse().map_err(|_| bad(format!("block id `{id}` is not a 32-byte hash")))?;
                self.slots.number_of(hash).ok_or_else(missing)?
            }
            slot => {
                let slot: u64 = slot
                    .parse()
                    .map_err(|_| bad(format!("block id `{id}` is none of a slot, a hash, genesis, head, finalized")))?;
                self.at_slot(slot).ok_or_else(missing)?
            }
        };
        let timestamp = self.slots.timestamp(number).ok_or_else(missing)?;
        Ok((number, (timestamp - self.slots.genesis_time()) / SECONDS_PER_SLOT))
    }

    /// The block of a slot, by bisection over the timestamps.
    fn at_slot(&self, slot: u64) -> Option<u64> {
        let timestamp = self.slots.genesis_time().checked_add(slot.checked_mul(SECONDS_PER_SLOT)?)?;
        let (mut low, mut high) = (0, self.slots.head());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.slots.timestamp(middle)? < timestamp {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (self.slots.timestamp(low)? == timestamp).then_some(low)
    }

    /// All sidecars of a block. With one of them gone the indices of the others would be wrong, so that none is served.
    fn sidecars(&self, number: u64) -> Result<Vec<BlobTransactionSidecar>, ApiError> {
        let sidecar = |hash: B256| {
            let found = self.blobs.get(&hash).map_err(|error| ApiError(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
            found.ok_or_else(|| ApiError(StatusCode::NOT_FOUND, format!("blobs of block {number} are past retention")))
        };
        self.slots.blob_transactions(number).into_iter().map(sidecar).collect()
    }

    fn is_final(&self, number: u64) -> bool {
        number <= self.slots.finalized()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_eips::eip4844::{Blob, Bytes48};
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    const GENESIS: u64 = 1_000;
    /// Timestamps of blocks 0 to 3: slots 1 and 4 are empty.
    const TIMES: [u64; 4] = [GENESIS, GENESIS + 2, GENESIS + 3, GENESIS + 5];

    struct FourBlocks;

    impl Slots for FourBlocks {
        fn genesis_time(&self) -> u64 {
            GENESIS
        }
        fn chain_id(&self) -> u64 {
            31_337
        }
        fn head(&self) -> u64 {
            3
        }
        fn finalized(&self) -> u64 {
            2
        }
        fn timestamp(&self, number: u64) -> Option<u64> {
            TIMES.get(number as usize).copied()
        }
        fn number_of(&self, hash: B256) -> Option<u64> {
            (hash == B256::repeat_byte(2)).then_some(2)
        }
        fn blob_transactions(&self, number: u64) -> Vec<B256> {
            match number {
                1 => vec![B256::repeat_byte(0xc)],
                2 => vec![FIRST, SECOND],
                _ => Vec::new(),
            }
        }
    }

    const FIRST: B256 = B256::repeat_byte(0xa);
    const SECOND: B256 = B256::repeat_byte(0xb);

    fn blob_store(dir: &std::path::Path) -> Arc<BlobStore> {
        Arc::new(BlobStore::open::<crate::l1::BlobError>(dir.to_owned(), 100, |_| Ok(None)).unwrap())
    }

    async fn ask(router: &axum::Router, path: &str) -> (StatusCode, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn sidecar(blobs: std::ops::Range<u8>) -> BlobTransactionSidecar {
        BlobTransactionSidecar {
            blobs: blobs.clone().map(Blob::repeat_byte).collect(),
            commitments: blobs.clone().map(Bytes48::repeat_byte).collect(),
            proofs: blobs.map(Bytes48::repeat_byte).collect(),
        }
    }

    #[tokio::test]
    async fn blobs_are_found_by_slot_hash_and_index() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = blob_store(dir.path());
        blobs.add_pending(FIRST, &sidecar(1..3)).unwrap();
        blobs.add_pending(SECOND, &sidecar(3..4)).unwrap();
        let router = router(FourBlocks, blobs);

        let (status, all) = ask(&router, "/eth/v1/beacon/blob_sidecars/3").await;
        assert_eq!(status, StatusCode::OK);
        let indices: Vec<_> = all["data"].as_array().unwrap().iter().map(|entry| entry["index"].clone()).collect();
        assert_eq!(indices, ["0", "1", "2"]);
        assert_eq!(all["finalized"], true);

        let (_, one) = ask(&router, "/eth/v1/beacon/blob_sidecars/3?indices=2").await;
        assert_eq!(one["data"][0]["kzg_commitment"], json!(Bytes48::repeat_byte(3)));
        let by_hash = format!("/eth/v1/beacon/blob_sidecars/{}?indices=0&indices=2", B256::repeat_byte(2));
        assert_eq!(ask(&router, &by_hash).await.1["data"].as_array().unwrap().len(), 2);

        let wanted = kzg_to_versioned_hash(Bytes48::repeat_byte(2).as_slice());
        let (_, list) = ask(&router, &format!("/eth/v1/beacon/blobs/3?versioned_hashes={wanted}")).await;
        assert_eq!(list["data"], json!([Blob::repeat_byte(2)]));
        assert_eq!(ask(&router, "/eth/v1/beacon/blobs/head").await.1["data"], json!([]));
    }

    #[tokio::test]
    async fn wrong_questions_are_told_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let router = router(FourBlocks, blob_store(dir.path()));
        for (path, status) in [
            ("/eth/v1/beacon/blob_sidecars/1", StatusCode::NOT_FOUND),
            ("/eth/v1/beacon/blob_sidecars/4", StatusCode::NOT_FOUND),
            // Block 1, whose blobs are not kept.
            ("/eth/v1/beacon/blob_sidecars/2", StatusCode::NOT_FOUND),
            ("/eth/v1/beacon/blob_sidecars/99", StatusCode::NOT_FOUND),
            ("/eth/v1/beacon/blob_sidecars/18446744073709551615", StatusCode::NOT_FOUND),
            ("/eth/v1/beacon/blob_sidecars/tail", StatusCode::BAD_REQUEST),
            ("/eth/v1/beacon/blob_sidecars/0x12", StatusCode::BAD_REQUEST),
            ("/eth/v1/beacon/blob_sidecars/3?indices=x", StatusCode::BAD_REQUEST),
            ("/eth/v1/beacon/blobs/3?versioned_hashes=0x1", StatusCode::BAD_REQUEST),
        ] {
            let (given, answer) = ask(&router, path).await;
            assert_eq!(given, status, "{path}");
            assert_eq!(answer["code"], status.as_u16(), "{path}");
        }
        assert_eq!(ask(&router, "/eth/v1/beacon/genesis").await.1["data"]["genesis_time"], "1000");
        assert_eq!(ask(&router, "/eth/v1/config/spec").await.1["data"]["SECONDS_PER_SLOT"], "1");
    }
}
