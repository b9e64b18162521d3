//! `oceanid spec`: looks at chain specifications.

use crate::cli::{SpecAction, SpecArgs};
use crate::output;
use oceanid_contracts::genesis::commitment;
use serde_json::json;

pub(crate) fn run(args: &SpecArgs) -> eyre::Result<()> {
    match &args.action {
        SpecAction::Check { file } => {
            let spec = oceanid_node::load_spec(file)?;
            let genesis = commitment(&spec);
            output::json(&json!({
                "name": spec.name,
                "chainId": spec.chain_id,
                "l1ChainId": spec.l1_chain_id,
                "genesisHash": genesis.hash,
                "genesisOutputRoot": genesis.output_root,
                "namespace": alloy_primitives::hex::encode_prefixed(spec.namespace(genesis.hash)),
                "committee": { "id": spec.committee.id, "members": spec.committee.members.len(), "quorum": spec.committee.quorum() },
                "l1DataFee": if spec.l1_data_fee.is_free() { "none is charged" } else { "charged" },
            }));
            Ok(())
        }
    }
}
