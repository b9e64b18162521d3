//! Bindings of the predeploys on Layer 2, generated from the committed artifacts.
#![allow(missing_docs, reason = "generated; the contracts' NatSpec documents them")]
#![allow(clippy::pub_underscore_fields, unreachable_pub, reason = "generated")]

alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    L2ToL1MessagePasser,
    "../../contracts/artifacts/L2ToL1MessagePasser.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    L1BlockInfo,
    "../../contracts/artifacts/L1BlockInfo.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    FeeVault,
    "../../contracts/artifacts/FeeVault.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    L2Bridge,
    "../../contracts/artifacts/L2Bridge.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    CommitteeRegistry,
    "../../contracts/artifacts/CommitteeRegistry.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    EpochLedger,
    "../../contracts/artifacts/EpochLedger.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    NativeToken,
    "../../contracts/artifacts/NativeToken.json"
);
alloy_sol_types::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    BridgedERC20,
    "../../contracts/artifacts/BridgedERC20.json"
);
