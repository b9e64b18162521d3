//! Bindings of the contracts on L1, generated from the committed artifacts.
#![allow(missing_docs, reason = "generated; the contracts' NatSpec documents them")]
#![allow(clippy::pub_underscore_fields, unreachable_pub, reason = "generated")]

alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    OceanidToken,
    "../../contracts/artifacts/OceanidToken.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    Portal,
    "../../contracts/artifacts/Portal.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    Rollup,
    "../../contracts/artifacts/Rollup.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    SequencerPool,
    "../../contracts/artifacts/SequencerPool.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    Slasher,
    "../../contracts/artifacts/Slasher.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    GasPriceOracle,
    "../../contracts/artifacts/GasPriceOracle.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    L1Bridge,
    "../../contracts/artifacts/L1Bridge.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    MiningRewards,
    "../../contracts/artifacts/MiningRewards.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    FeeSplitter,
    "../../contracts/artifacts/FeeSplitter.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    UnbondingTicket,
    "../../contracts/artifacts/UnbondingTicket.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    Timelock,
    "../../contracts/artifacts/Timelock.json"
);
