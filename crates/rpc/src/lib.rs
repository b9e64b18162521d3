//! Ethereum JSON-RPC over http and ws.
