//! Ports for the servers of a development network that are started later, or again and again.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where they are taken from. Below the ports that systems give to outgoing connections (Linux from 32,768, others from 49,152): one that a
/// system's own choice of a free port had named would sometimes be the near end of somebody's connection by the time a node listens on it.
const RANGE: core::ops::Range<u16> = 20_000..32_000;

/// `count` addresses of `host` on which nothing listens now. A search starts anywhere in the range, so that two networks that are started
/// together choose different ones. Fails where so many are not free, or the host is not this machine's.
pub fn free_addresses(host: IpAddr, count: usize) -> io::Result<Vec<SocketAddr>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let size = u32::from(RANGE.end - RANGE.start);
    let first = now.wrapping_add(std::process::id().wrapping_mul(0x9e37_79b1)) % size;
    let mut refused = io::ErrorKind::AddrInUse.into();
    let mut held = Vec::with_capacity(count);
    for offset in 0..size {
        if held.len() == count {
            break;
        }
        let port = RANGE.start + u16::try_from((first + offset) % size).expect("less than the range");
        match TcpListener::bind(SocketAddr::new(host, port)) {
            Ok(listener) => held.push(listener),
            Err(error) => refused = error,
        }
    }
    if held.len() < count { Err(refused) } else { held.iter().map(TcpListener::local_addr).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn ports_are_free_different_and_nobodys_near_end() {
        let addresses = free_addresses(HOST, 20).unwrap();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 20);
        for address in addresses {
            assert!(RANGE.contains(&address.port()));
            TcpListener::bind(address).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        assert!(free_addresses(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1).is_err());
        assert!(free_addresses(HOST, 0).unwrap().is_empty());
    }
}
