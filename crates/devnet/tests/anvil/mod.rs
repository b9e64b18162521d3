//! An anvil of its own for a test.

use alloy_provider::Provider;
use oceanid_devnet::network::connect;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::sleep;

/// anvil, stopped when dropped.
pub(crate) struct Anvil {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Interrupted, not killed: the npm package's `anvil` is a wrapper that hands the signal on to the program. Errors say that it
        // has ended already.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Anvil {
    /// Starts the anvil that `OCEANID_ANVIL` names. Without it there is nothing to test with, which is an error where
    /// `OCEANID_REQUIRE_TOOLS` is set.
    pub(crate) async fn start(hardfork: &str, more: &[&str]) -> Option<Self> {
        let Some(program) = std::env::var_os("OCEANID_ANVIL") else {
            assert!(std::env::var_os("OCEANID_REQUIRE_TOOLS").is_none(), "OCEANID_ANVIL does not name anvil");
            return None;
        };
        let port = oceanid_devnet::ports::free_addresses(Ipv4Addr::LOCALHOST.into(), 1).expect("a port is free")[0].port();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--hardfork", hardfork, "--silent"])
            .args(more)
            .stdin(Stdio::null())
            .spawn()
            .expect("OCEANID_ANVIL names a program");
        let anvil = Self { child, url: format!("http://127.0.0.1:{port}") };
        let provider = connect(&anvil.url).expect("the URL is well formed");
        for _ in 0..2_400 {
            if provider.get_chain_id().await.is_ok() {
                return Some(anvil);
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("anvil does not answer at {}", anvil.url)
    }
}
